"""Forecast of a run: disk space for its checkpoints, memory of a step, and time, measured in a dry run."""

import contextlib
import dataclasses
import datetime
import math
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.stages import Compiled

from mai_jax.config import Config
from mai_jax.data import pipeline
from mai_jax.data.hole_sampler import HoleSampler
from mai_jax.data.sources import Source
from mai_jax.doctor.report import Finding, Section, quiet
from mai_jax.errors import RunError
from mai_jax.models import model_class
from mai_jax.models.base import Model
from mai_jax.training import checkpointing, continuation, init_from, metric_writer, train_state
from mai_jax.training.continuation import NO_CHANGES, StartOptions
from mai_jax.training.metric_writer import MetricLogger, MetricWriter
from mai_jax.training.nonfinite import Diverged, NonfiniteSteps, describe
from mai_jax.training.train_state import TrainState
from mai_jax.training.train_step import compile_train_step, data_mesh
from mai_jax.training.trainer import Trainer

NEARLY_FULL = 0.9  # share of the memory above which another program or the fine-tuning phase may exceed it
SLOW_DATA = 0.1  # share of the time spent waiting for photographs above which the data pipeline is too slow
CGROUP = Path("/sys/fs/cgroup/memory.max")


class Speed(NamedTuple):
    """The result of a dry run."""

    steps_per_second: float
    data_wait: float  # share of the time


def disk(config: Config, workdir: Path) -> Section:
    """Return the section on disk space for the checkpoints that exist at once: those kept and the one being written."""
    size = _checkpoint_bytes(model_class(config.method)(config), config)
    saves = math.ceil(config.total_steps / config.run.save_every)
    kept_longer = config.total_steps // config.run.keep_every if config.run.keep_every else 0
    more = max(0, min(config.run.keep_checkpoints + 1 + kept_longer, saves) - len(checkpointing.steps(workdir)))
    more += 2 if config.run.keep_best != "none" else 0  # smaller: without the optimizer's state
    needed = more * size + checkpointing.MARGIN
    folder = next(parent for parent in (workdir.absolute(), *workdir.absolute().parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    facts = [f"{_size(free)} are free; {more} more checkpoints of {_size(size)} need {_size(needed)}"]
    if needed <= free:
        return Section(f"disk of {workdir}", facts)
    return Section(f"disk of {workdir}", facts, [
        Finding("error", "the disk will be full", "training will stop: free some space, or give another --workdir")])


def training(
    config: Config, workdir: Path, source: Source, hole_sampler: HoleSampler, steps: int,
    options: StartOptions = NO_CHANGES,
) -> Section:  # fmt: skip
    """Return the section on memory and time. Compiles the step and runs `steps` steps on `source`; writes no files."""
    mesh = data_mesh()
    kind = f"{mesh.size} x {mesh.devices.flat[0].device_kind}"
    result = Section(f"training on {kind}")
    try:
        reader = continuation.latest(config, workdir, options)
        done = 0 if reader is None else reader.step
        if done >= config.total_steps:
            result.facts.append(f"all {done:,} steps are done")
            return result
        model = model_class(config.method)(config, config.phase_of(done + 1))
        model.prepare()
        if reader is None and options.init_from:
            init_from.take(options, train_state.variable_shapes(model, config))
        compiled = compile_train_step(model, config, hole_sampler, mesh)
        if _memory(result, compiled, mesh):
            speed = dry_run(model, config, compiled, source, hole_sampler, mesh, steps)
            _speed(result, config, speed, config.total_steps - done)
    except RunError as error:
        result.findings.append(Finding("error", str(error), "this will also stop the training"))
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        result.findings.append(_too_large(f"out of memory: {str(error).splitlines()[0]}"))
    return result


def dry_run(
    model: Model, config: Config, compiled: Compiled, source: Source, hole_sampler: HoleSampler, mesh: Mesh, steps: int
) -> Speed:
    """Return the speed of `steps` steps from the initial state, after one warm-up step, measured as in training.

    Raises RunError for whatever would stop the training.
    """
    state = train_state.init_on_devices(model, config, NamedSharding(mesh, PartitionSpec()))
    scalars = _LastScalars()
    run = dataclasses.replace(config.run, log_every=steps + 1)
    metrics = MetricLogger(dataclasses.replace(config, run=run), scalars)
    trainer = Trainer(config, state, mesh, hole_sampler.mask_bank, metrics, _StopAtNonfinite())
    with contextlib.closing(pipeline.train_batches(source, config, start=0)) as batches, quiet(metric_writer):
        for _ in range(steps + 1):
            trainer.run_step(compiled, trainer.next_images(batches))
        trainer.finish_step()
    return Speed(scalars.values["speed/steps_per_second"], scalars.values["speed/data_wait"])


class _LastScalars(MetricWriter):
    """Stores the last scalars instead of writing them."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def write_scalars(self, step: int, values: Mapping[str, Any]) -> None:
        self.values = dict(values)


class _StopAtNonfinite(NonfiniteSteps):
    """Raises Diverged at the first step that is not finite, and writes nothing."""

    def __init__(self) -> None:
        pass

    def reset(self) -> None:
        pass

    def record(self, step: int, terms: dict[str, float], images: jax.Array, state: TrainState) -> None:
        raise Diverged(f"dry run, {describe(step, terms)}; lower learning_rate")


def _memory(result: Section, compiled: Compiled, mesh: Mesh) -> bool:
    """Add the memory of the step to the section. Return whether it fits."""
    analysis: Any = compiled.memory_analysis()
    needed = (analysis.argument_size_in_bytes + analysis.output_size_in_bytes - analysis.alias_size_in_bytes
              + analysis.temp_size_in_bytes)  # fmt: skip
    limit = (mesh.devices.flat[0].memory_stats() or {}).get("bytes_limit")
    if limit is None:  # devices that share the memory of the host
        needed, limit = needed * mesh.size, _host_memory()
    share = needed / limit
    result.facts.append(f"memory: a step needs {_size(needed)}, {share:.1%} of {_size(limit)}")
    if share > 1:
        result.findings.append(_too_large("a step does not fit into the memory"))
    elif share > NEARLY_FULL:
        result.findings.append(Finding("warning", "a step nearly fills the memory",
                                       "another program, or the fine-tuning phase, may exceed it"))
    return share <= 1


def _too_large(message: str) -> Finding:
    return Finding("error", message, "give --config.accumulate=2 or more, --config.remat or --config.dtype=bfloat16, "
                                      "or lower config.batch_size")


def _speed(result: Section, config: Config, speed: Speed, left: int) -> None:
    """Add speed and finish time to the section. `left` is the number of steps still to run."""
    seconds = left / speed.steps_per_second
    end = datetime.datetime.fromtimestamp(time.time() + seconds)
    result.facts += [
        f"speed: {speed.steps_per_second * config.batch_size:.3g} images/s, {speed.steps_per_second:.3g} steps/s, "
        f"{speed.data_wait:.1%} of the time waiting for photographs",
        f"finish: {left:,} steps left take {metric_writer.duration(seconds)}, until {end:%Y-%m-%d %H:%M} if started "
        "now (without saving and validation)",
    ]
    if speed.data_wait > SLOW_DATA:
        result.findings.append(Finding("warning", "training waits for photographs", "raise config.run.read_threads, or "
                                       f"store them with a shorter side of {2 * config.data.shorter_side} px or less"))


def _checkpoint_bytes(model: Model, config: Config) -> int:
    items = jax.eval_shape(lambda: train_state.checkpoint_items(train_state.init_state(model, config)))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(items))


def _host_memory() -> int:
    """Return the number of bytes that this process may use."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = CGROUP.read_text().strip() if CGROUP.exists() else "max"
    return total if limit == "max" else min(total, int(limit))


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.1f} MiB"
