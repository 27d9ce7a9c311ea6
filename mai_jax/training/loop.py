"""The training loop of any method: read, step, watch, keep. Nobody edits this file for research."""

import contextlib
import itertools
import json
import logging
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from clu import parameter_overview
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import UInt8

from mai_jax import checkpoint
from mai_jax import config as config_lib
from mai_jax.config import Config
from mai_jax.data import holes, pipeline, sources
from mai_jax.files import write_whole
from mai_jax.logbook import Logbook
from mai_jax.models import MODELS
from mai_jax.models.base import Model
from mai_jax.training import state as state_lib
from mai_jax.training.interrupt import Interrupt
from mai_jax.training.pictures import Pictures
from mai_jax.training.profile import Profile
from mai_jax.training.progress import Diverged, Progress
from mai_jax.training.state import State
from mai_jax.training.step import compile_step, data_mesh
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
    state = _start(model, config, workdir, mesh)
    step = int(state.step)
    _describe(config, workdir, state)
    with (
        Interrupt() as interrupt,
        checkpoint.Writer(workdir, keep=config.run.keep) as writer,
        Logbook(workdir, step=step) as logbook,
        contextlib.closing(pipeline.train_batches(source, config, start=step)) as images,
        contextlib.closing(Profile(config.run.profile_steps, workdir)) as profile,
    ):
        try:
            _run(config, mesh, state, images, hiding, interrupt, writer, logbook, pictures, profile)
        except Diverged as error:
            writer.wait()
            good = checkpoint.steps(workdir)
            raise RunError(f"{error}; nothing of it was saved; last good checkpoint: "
                           f"{workdir / checkpoint.FOLDER / str(good[-1]) if good else 'none yet'}; lower "
                           "learning_rate, or look at the photographs of that step") from error
    return interrupt.received


def _run(
    config: Config, mesh: Mesh, state: State, images: Images, hiding: holes.Hiding,
    interrupt: Interrupt, writer: checkpoint.Writer, logbook: Logbook, pictures: Pictures, profile: Profile,
) -> None:  # fmt: skip
    """All steps that are left. A signal or an unusable image ends them between two steps, with the state saved."""
    bank = jax.device_put(hiding.bank, NamedSharding(mesh, PartitionSpec()))
    progress = Progress(config, logbook)
    step = saved = int(state.step)
    ends = itertools.accumulate(phase.steps for phase in config.phases.values())
    try:
        for phase, end in zip(config.phases, ends, strict=True):
            if step >= end or interrupt.received:
                continue
            train_step = compile_step(MODELS[config.method](config, phase), config, hiding.sample, mesh)
            log.info("%s: steps %d to %d; compiling", phase, step + 1, end)
            while step < end and not interrupt.received:
                state, logs = train_step(state, next_images(images, mesh, progress), bank)
                step += 1
                progress.note(step, logs)
                profile.note(logs)
                if step % config.run.pictures_every == 0 or step == config.total_steps:
                    pictures.write(step, state, logbook)
                if step % config.run.save_every == 0:  # last: what a step leaves in the logs is there when it is saved
                    saved = _save(config, step, state, progress, writer)
    except InputError:  # a photograph that cannot be read: mended, the same command goes on from here
        if step > saved:
            _save(config, step, state, progress, writer)
        raise
    if step > saved:
        _save(config, step, state, progress, writer)
    if interrupt.received:
        log.info("%s at step %d: saved; the same command goes on from there", interrupt.received.name, step)
    else:
        log.info("all %d steps are done", step)


def next_images(images: Images, mesh: Mesh, progress: Progress) -> jax.Array:
    """This process's next photographs, as its share of the global batch."""
    begin = time.monotonic()
    batch = next(images)
    progress.waited(time.monotonic() - begin)
    return jax.make_array_from_process_local_data(NamedSharding(mesh, PartitionSpec("data")), batch)


def _save(config: Config, step: int, state: State, progress: Progress, writer: checkpoint.Writer) -> int:
    progress.settle()  # a state that is not finite is never saved
    # One batch per step, from a source that any process can enter anywhere: the step is the data position too.
    writer.save(step, items(state), {"config": config_lib.to_dict(config), "next_index": step})
    return step


def items(state: State) -> dict[str, Any]:
    """What a checkpoint holds, item by item; the rest follows from the step and the config."""
    return {"params": {"params": state.params, "stats": state.stats}, "opt": state.opt}


def newest(config: Config, workdir: Path) -> checkpoint.Reader | None:
    """The newest checkpoint, if there is one. Raises InputError if it is of a run of another config."""
    if not checkpoint.steps(workdir):
        return None
    reader = checkpoint.Reader(workdir)
    if changed := config_lib.differences(reader.config, config):
        raise InputError(f"{workdir}: was trained with another config: {'; '.join(changed)}; "
                         "give the same values, or another --workdir")
    return reader


def _start(model: Model, config: Config, workdir: Path, mesh: Mesh) -> State:
    """The state of the newest checkpoint; a fresh one only if there is none."""
    everywhere = NamedSharding(mesh, PartitionSpec())
    reader = newest(config, workdir)
    if reader is None:
        return state_lib.create(model, config, everywhere)
    like = jax.eval_shape(lambda: items(state_lib.fresh(model, config)))
    saved = {name: reader.read(name, item) for name, item in like.items()}
    state = State(jnp.int32(reader.step), **saved["params"], opt=saved["opt"], key=state_lib.split_key(config)[0])
    log.info("going on from %s", reader.path)
    return jax.device_put(state, everywhere)


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
    workdir.mkdir(parents=True, exist_ok=True)
    write_whole(workdir / "config.json", json.dumps(config_lib.to_dict(config), indent=2).encode() + b"\n")
    overview: dict[str, Any] = {p: parameter_overview.get_parameter_overview(tree) for p, tree in state.params.items()}
    tables = "\n\n".join(f"{player}\n{table}" for player, table in overview.items())
    write_whole(workdir / "parameters.txt", tables.encode() + b"\n")
    counts = ", ".join(f"{p} {int(parameter_overview.count_parameters(tree)):,}" for p, tree in state.params.items())
    log.info("%s in %s: %s parameters; %d devices (%s)", config.method, workdir, counts, jax.device_count(),
             jax.devices()[0].device_kind)
