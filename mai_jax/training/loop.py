"""The training loop of any method: read, step, watch, keep. Nobody edits this file for research."""

import contextlib
import dataclasses
import itertools
import json
import logging
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from clu import parameter_overview
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import UInt8

from mai_jax import checkpoint
from mai_jax import config as config_lib
from mai_jax.config import Config
from mai_jax.data import holes, pipeline, sources
from mai_jax.data.holes import Hiding
from mai_jax.files import write_whole
from mai_jax.logbook import Logbook, Silence
from mai_jax.models import MODELS
from mai_jax.training import processes, resume
from mai_jax.training.failures import Diverged, Failures
from mai_jax.training.interrupt import Interrupt
from mai_jax.training.lock import alone
from mai_jax.training.pictures import Pictures
from mai_jax.training.profile import Profile
from mai_jax.training.progress import Progress
from mai_jax.training.state import State
from mai_jax.training.step import compile_step, data_mesh
from mai_jax.training.steps import Steps
from mai_jax.types import InputError, RunError

log = logging.getLogger(__name__)

Images = Iterator[UInt8[np.ndarray, "b h w 3"]]


def train(config: Config, workdir: Path) -> signal.Signals | None:
    """Trains to the end of the last phase, going on from the newest checkpoint in `workdir` if there is one.

    Returns the signal that ended it early (all steps done are saved), or None. Raises RunError.
    """
    mesh = data_mesh()
    check(config, mesh)
    model = MODELS[config.method](config)
    # All that the user gave is read before the first file is written.
    model.prepare()
    source = sources.open_source(config.data, "train")
    pictures = Pictures(config, model)
    hiding = holes.sampler(config.holes.train, config.holes, config.image_size)
    first = processes.first()
    with processes.together(), contextlib.ExitStack() as entered:
        if first:
            entered.enter_context(alone(workdir))
        state = resume.start(model, config, workdir, mesh)
        begin = int(state.step)
        processes.agree(config, workdir, begin)
        _describe(config, workdir, state)
        interrupt = entered.enter_context(Interrupt())
        writer = entered.enter_context(checkpoint.Writer(workdir, keep=config.run.keep))
        logbook = entered.enter_context(Logbook(workdir, step=begin) if first else Silence())
        images = pipeline.train_batches(source, config, start=begin, process_index=jax.process_index(),
                                        process_count=jax.process_count())  # fmt: skip
        entered.callback(images.close)
        profile = Profile(config.run.profile_steps if first else 0, workdir)
        entered.callback(profile.close)
        progress = Progress(config, logbook)
        bank = jax.device_put(hiding.bank, NamedSharding(mesh, PartitionSpec()))
        steps = Steps(state, bank, progress, Failures(config, workdir, source, hiding))
        del state  # the first step takes its buffers
        saver = resume.Saver(config, workdir, steps, writer)
        run = _Run(config, mesh, hiding, images, steps, saver, interrupt, progress, profile, pictures, logbook)
        with processes.together():  # in here too, before all that has been entered is left in order
            run.go()
    return interrupt.received


@dataclasses.dataclass
class _Run:
    """Whoever takes part in a run."""

    config: Config
    mesh: Mesh
    hiding: Hiding
    images: Images
    steps: Steps
    saver: resume.Saver
    interrupt: Interrupt
    progress: Progress
    profile: Profile
    pictures: Pictures
    logbook: Logbook

    def go(self) -> None:
        """All steps that are left, saved at their end, however it comes. Raises RunError."""
        try:
            self._all_phases()
        except Diverged as error:
            raise RunError(f"{error}; last good checkpoint: {self.saver.last or 'none yet'}; lower learning_rate, or "
                           "look at the photographs of that step") from error
        except InputError:  # a photograph that cannot be read: mended, the same command goes on from here
            if not processes.many():  # the others do not know of it, and none can save alone
                self.saver.save()
            raise
        self.saver.save()
        if self.interrupt.received:
            name = self.interrupt.received.name
            log.info("%s at step %d: saved; the same command goes on from there", name, self.steps.done)
        else:
            log.info("all %d steps are done", self.steps.done)

    def _all_phases(self) -> None:
        """A signal ends them between two steps."""
        config, steps = self.config, self.steps
        ends = itertools.accumulate(phase.steps for phase in config.phases.values())
        for phase, end in zip(config.phases, ends, strict=True):
            if steps.done >= end or self.interrupt.received:
                continue
            steps.compiled = compile_step(MODELS[config.method](config, phase), config, self.hiding.sample, self.mesh)
            log.info("%s: steps %d to %d; compiling", phase, steps.done + 1, end)
            while steps.done < end and not self.interrupt.wanted(steps.done):
                self._one()

    def _one(self) -> None:
        config, steps = self.config, self.steps
        self.profile.note(steps.do(next_images(self.images, self.mesh, self.progress)))
        if steps.done % config.run.pictures_every == 0 or steps.done == config.total_steps:
            self.pictures.write(steps.done, steps.state, self.logbook)
        if steps.done % config.run.save_every == 0:  # last: then all that a step logs is there too
            self.saver.save()


def next_images(images: Images, mesh: Mesh, progress: Progress) -> jax.Array:
    """This process's next photographs, as its share of the global batch."""
    begin = time.monotonic()
    batch = next(images)
    progress.waited(time.monotonic() - begin)
    return jax.make_array_from_process_local_data(NamedSharding(mesh, PartitionSpec("data")), batch)


def check(config: Config, mesh: Mesh) -> None:
    """Raises InputError for a config that cannot be trained with the devices that are there."""
    config_lib.check(config)
    if config.method not in MODELS:
        raise InputError(f"config.method={config.method!r}: no such method; there are {', '.join(MODELS)}")
    if config.total_steps == 0:
        raise InputError("config.train.steps=0: nothing to do; set the steps of a phase")
    if config.batch_size % mesh.size:
        raise InputError(f"config.batch_size={config.batch_size}: not a multiple of the {mesh.size} devices; "
                         f"give --config.batch_size={-(-config.batch_size // mesh.size) * mesh.size}")


def _describe(config: Config, workdir: Path, state: State) -> None:
    """Writes down what is trained, for people: config.json, parameters.txt."""
    if not processes.first():
        return
    write_whole(workdir / "config.json", json.dumps(config_lib.to_dict(config), indent=2).encode() + b"\n")
    overview: dict[str, Any] = {p: parameter_overview.get_parameter_overview(tree) for p, tree in state.params.items()}
    tables = "\n\n".join(f"{player}\n{table}" for player, table in overview.items())
    write_whole(workdir / "parameters.txt", tables.encode() + b"\n")
    counts = ", ".join(f"{p} {int(parameter_overview.count_parameters(tree)):,}" for p, tree in state.params.items())
    log.info("%s in %s: %s parameters; %d devices (%s)%s", config.method, workdir, counts, jax.device_count(),
             jax.devices()[0].device_kind,
             f", {jax.process_count()} processes" if jax.process_count() > 1 else "")
