"""The training loop of any method: data, step, log, validate, save, stop. Research code does not edit this file."""

import contextlib
import itertools
import json
import logging
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from clu import parameter_overview
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import UInt8

from mai_jax import config as config_lib
from mai_jax.config import Config
from mai_jax.data import pipeline, sources
from mai_jax.data.hole_sampler import make_hole_sampler
from mai_jax.data.pipeline import Unreadable
from mai_jax.errors import InputError, RunError
from mai_jax.files import write_atomically
from mai_jax.models import model_class
from mai_jax.models.base import Model
from mai_jax.training import continuation, distributed, init_from, train_state
from mai_jax.training.best import BestCheckpoint
from mai_jax.training.checkpointing import CheckpointWriter
from mai_jax.training.continuation import NO_CHANGES, StartOptions
from mai_jax.training.hooks import Profile, Validation
from mai_jax.training.interrupt import Interrupt
from mai_jax.training.metric_writer import MetricLogger, MetricWriter, NullWriter
from mai_jax.training.nonfinite import Diverged, NonfiniteSteps
from mai_jax.training.train_state import TrainState
from mai_jax.training.train_step import Logs, data_mesh, make_train_step
from mai_jax.training.workdir_lock import workdir_lock

log = logging.getLogger(__name__)

Images = Iterator[UInt8[np.ndarray, "b h w 3"]]
History = Sequence[dict[str, Any]]


def train(config: Config, workdir: str | Path, options: StartOptions = NO_CHANGES) -> signal.Signals | None:
    """Train to the end of the last phase, resuming from the newest checkpoint in `workdir` if there is one.

    `options` allows changes of the config since that checkpoint, or names initial parameters. Returns the signal that
    ended the training early (all completed steps are saved), or None. Raises RunError.
    """
    workdir, mesh = Path(workdir), data_mesh()
    check(config, mesh)
    model = model_class(config.method)(config)
    # Everything that the user named is read before the first file is written.
    model.prepare()
    source = sources.open_source(config.data, "train")
    validation = Validation(config, model)
    hole_sampler = make_hole_sampler(config.holes.train_masks, config.holes, config.image_size)
    is_main = distributed.is_main_process()
    with distributed.abort_all_on_error(), contextlib.ExitStack() as stack:
        if is_main:
            stack.enter_context(workdir_lock(workdir))
        state, history, unreadable = restore_or_init(model, config, workdir, mesh, options)
        start = int(state.step)
        distributed.assert_same_config(config, workdir, start)
        if is_main:
            _write_description(config, workdir, state)
        interrupt = stack.enter_context(Interrupt())
        checkpoints = stack.enter_context(CheckpointWriter(
            workdir, keep=config.run.keep_checkpoints, keep_every=config.run.keep_every))
        best = stack.enter_context(BestCheckpoint(config, workdir, start=start))
        writer = stack.enter_context(MetricWriter(workdir, step=start) if is_main else NullWriter())
        if start < config.total_steps:
            _log_changes(history, start, writer)
        batches = pipeline.train_batches(source, config, start=start, process_index=jax.process_index(),
                                         process_count=jax.process_count(), unreadable=unreadable)  # fmt: skip
        stack.callback(batches.close)
        profile = Profile(config.run.profile_steps if is_main else 0, workdir)
        stack.callback(profile.close)
        trainer = Trainer(config, state, mesh, hole_sampler.mask_bank, MetricLogger(config, writer),
                          NonfiniteSteps(config, workdir, source, hole_sampler), checkpoints, history,
                          unreadable)  # fmt: skip
        del state  # its buffers are donated to the first step
        # Again, so that an error ends the process before the stack closes the checkpoint writer, which would wait for
        # the other processes.
        with distributed.abort_all_on_error(), trainer.save_at_end():
            for phase, end in zip(config.phases, phase_ends(config), strict=True):
                if trainer.step >= end or interrupt.received:
                    continue
                model = model_class(config.method)(config, phase)
                train_step = make_train_step(model, config, hole_sampler.sample, mesh)
                log.info("%s: steps %d to %d; compiling", phase, trainer.step + 1, end)
                while trainer.step < end and not interrupt.requested(trainer.step):
                    images = trainer.next_images(batches)
                    profile.after_step(trainer.run_step(train_step, images))
                    if trainer.step % config.run.validation_every == 0 or trainer.step == config.total_steps:
                        scalars = validation.write(trainer.step, trainer.state, writer)
                        best.update(trainer.step, scalars, trainer.checkpoint)
                    if trainer.step % config.run.save_every == 0:  # last, after everything that this step logs
                        trainer.save()
        _log_end(trainer.step, interrupt.received)
    return interrupt.received


class Trainer:
    """Holds the train state and runs steps on it. Metrics of a step are fetched while the device computes the next.

    A step whose values are not finite is recorded and skipped: training continues with the batch after it.
    """

    def __init__(
        self, config: Config, state: TrainState, mesh: Mesh, mask_bank: Any, metrics: MetricLogger,
        nonfinite: NonfiniteSteps, checkpoints: CheckpointWriter | None = None, history: History = (),
        unreadable: Unreadable | None = None,
    ) -> None:  # fmt: skip
        self.state = state
        self.step = int(state.step)  # steps dispatched to the device
        self._config = config
        self._mesh = mesh
        self._mask_bank = jax.device_put(mask_bank, NamedSharding(mesh, PartitionSpec()))
        self._metrics = metrics
        self._nonfinite = nonfinite
        self._checkpoints = checkpoints
        self._history = list(history)
        self._unreadable = unreadable or Unreadable()
        self._saved = self.step  # the step of the newest checkpoint; 0 for none
        self._pending: tuple[int, jax.Array, Logs] | None = None

    def next_images(self, batches: Images) -> jax.Array:
        """Return this process's next photographs as its share of the global batch."""
        begin = time.monotonic()
        batch = next(batches)
        self._metrics.add_data_wait(time.monotonic() - begin)
        for problem in self._unreadable.take_new():
            self._metrics.add_event(self.step + 1, f"{problem}; it is left out, and the next file takes its place")
        return jax.make_array_from_process_local_data(NamedSharding(self._mesh, PartitionSpec("data")), batch)

    def run_step(self, train_step: Callable[..., tuple[TrainState, Logs]], images: jax.Array) -> Logs:
        """Dispatch one step, then finish the one before it. Return the scalars, still being computed. Raises Diverged.
        """
        self.state, logs = train_step(self.state, images, self._mask_bank)
        if not self.finish_step():  # the step before was skipped, so this one left the state unchanged: run it again
            self.state, logs = train_step(self.state, images, self._mask_bank)
        self.step += 1
        self._pending = self.step, images, logs
        self._metrics.mark_dispatched(self.step)
        return logs

    def finish_step(self) -> bool:
        """Wait for the dispatched step; log its scalars. Return whether it was applied. Raises Diverged."""
        if self._pending is None:
            return True
        (step, images, logs), self._pending = self._pending, None
        values = {name: float(value) for name, value in jax.device_get(logs).items()}
        if values.pop("finite"):
            self._nonfinite.reset()
            self._metrics.add(step, values)
            return True
        self._nonfinite.record(step, values, images, self.state)
        cleared = jax.device_put((jnp.int32(step), jnp.zeros((), bool)), self.state.step.sharding)
        self.state = self.state.replace(step=cleared[0], nonfinite=cleared[1])
        return False

    def save(self) -> None:
        """Save a checkpoint unless this step has one. Raises Diverged: a state that is not finite is never saved."""
        if self.step == self._saved or self._checkpoints is None:
            return
        self._checkpoints.save(self.step, *self.checkpoint())
        self._saved = self.step

    def checkpoint(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the items and the description of a checkpoint of this step. Raises Diverged."""
        self.finish_step()
        # One batch per step, from a source with random access: the step is the position in the data, too.
        meta = {"config": config_lib.to_dict(self._config), "next_index": self.step, "history": self._history,
                "unreadable": self._unreadable.known}
        return train_state.checkpoint_items(self.state), meta

    @contextlib.contextmanager
    def save_at_end(self) -> Iterator[None]:
        """Save when the block ends: after its last step, a signal, or a photograph that cannot be read."""
        try:
            yield
            self.save()
        except Diverged as error:
            last = self._checkpoints.folder / str(self._saved) if self._checkpoints and self._saved else "none yet"
            raise RunError(f"{error}; last good checkpoint: {last}; lower learning_rate, or look at the photographs of "
                           "that step") from error
        except InputError:  # once it is repaired, the same command continues from here
            if not distributed.is_distributed():  # the other processes do not know, and none can save alone
                self.save()
            raise


def check(config: Config, mesh: Mesh) -> None:
    """Raise InputError for a config that cannot be trained on the devices of `mesh`."""
    config_lib.check(config)
    model_class(config.method)
    if config.total_steps == 0:
        raise InputError("config.main_phase.steps=0: nothing to do; set the steps of a phase")
    share = mesh.size * config.accumulate
    if config.batch_size % share:
        parts = f" times config.accumulate={config.accumulate}" if config.accumulate > 1 else ""
        raise InputError(f"config.batch_size={config.batch_size}: not a multiple of the {mesh.size} devices{parts}; "
                         f"give --config.batch_size={-(-config.batch_size // share) * share}")


def phase_ends(config: Config) -> list[int]:
    """Return the last step of every phase."""
    return list(itertools.accumulate(phase.steps for phase in config.phases.values()))


def restore_or_init(
    model: Model, config: Config, workdir: Path, mesh: Mesh, options: StartOptions = NO_CHANGES
) -> tuple[TrainState, History, Unreadable]:  # fmt: skip
    """Return the state of the newest checkpoint with its history and the photographs that were unreadable up to then.

    If there is no checkpoint, the state is the initial one.
    """
    replicated = NamedSharding(mesh, PartitionSpec())
    reader = continuation.latest(config, workdir, options)
    if reader is None:
        state = train_state.init_on_devices(model, config, replicated)
        if not options.init_from:
            return state, [], Unreadable()
        variables, entry = init_from.take(options, jax.device_get(state.variables))
        ema = jax.tree.map(np.copy, variables) if config.ema_decay else None
        return state.replace(**jax.device_put({**variables, "ema": ema}, replicated)), [entry], Unreadable()
    init_from.check_resumed(options, reader)
    shapes = jax.eval_shape(lambda: train_state.checkpoint_items(train_state.init_state(model, config)))
    items = {name: reader.read(name, item) for name, item in shapes.items() if name in reader.meta["arrays"]}
    if "ema" in shapes and "ema" not in items:  # switched on by --continue-with
        items["ema"] = jax.tree.map(np.copy, items["params"])
    log.info("resuming from %s", reader.path)
    continuation.log_schedule(reader, config)
    state = train_state.restore_state(items, reader.step, config)
    # jax.device_put puts arrays, but not keys, on the devices of all processes.
    rng = jax.jit(lambda: state.rng, out_shardings=replicated)()
    arrays = {name: value for name, value in vars(state).items() if name != "rng"}
    state = TrainState(**jax.device_put(arrays, replicated), rng=rng)
    return state, continuation.history(reader, config), Unreadable(reader.meta.get("unreadable", ()))


def _log_changes(history: History, step: int, writer: MetricWriter) -> None:
    """Log what has changed after `step`, as a part of the next step: if that is run again, so is this."""
    for change in continuation.describe(entry for entry in history if entry["step"] == step):
        log.info("%s", change)
        writer.write_event(step + 1, change)


def _write_description(config: Config, workdir: Path, state: TrainState) -> None:
    """Write config.json and parameters.txt; log the parameter counts."""
    write_atomically(workdir / "config.json", json.dumps(config_lib.to_dict(config), indent=2).encode() + b"\n")
    tables = "\n\n".join(f"{network}\n{parameter_overview.get_parameter_overview(tree)}"
                         for network, tree in state.params.items())  # fmt: skip
    write_atomically(workdir / "parameters.txt", tables.encode() + b"\n")
    counts = ", ".join(f"{network} {int(parameter_overview.count_parameters(tree)):,}"
                       for network, tree in state.params.items())  # fmt: skip
    log.info("%s in %s: %s parameters; %d devices (%s)%s", config.method, workdir, counts, jax.device_count(),
             jax.devices()[0].device_kind,
             f", {jax.process_count()} processes" if jax.process_count() > 1 else "")


def _log_end(step: int, received: signal.Signals | None) -> None:
    if received:
        log.info("%s at step %d: saved; the same command resumes from there", received.name, step)
    else:
        log.info("all %d steps are done", step)
