"""What a run will need: room for its checkpoints, memory for its step, and time, from some steps done for real."""

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

from mai_jax import checkpoint
from mai_jax.config import Config
from mai_jax.data import pipeline
from mai_jax.data.doctor.quiet import quiet
from mai_jax.data.doctor.report import Finding, Section
from mai_jax.data.holes import Hiding
from mai_jax.data.sources import Source
from mai_jax.logbook import Logbook
from mai_jax.models import MODELS
from mai_jax.models.base import Model
from mai_jax.training import loop, progress, resume
from mai_jax.training import state as state_lib
from mai_jax.training.failures import Diverged, Failures, describe
from mai_jax.training.state import State
from mai_jax.training.step import compile_ahead, data_mesh
from mai_jax.training.steps import Steps
from mai_jax.types import RunError

FULL = 0.9  # share of a memory above which other programs, or a longer phase, may be too much
SLOW_DATA = 0.1  # share of the time spent waiting for photographs that is worth a mend
CGROUP = Path("/sys/fs/cgroup/memory.max")


class Speed(NamedTuple):
    steps_per_second: float
    data_wait: float  # share of the time


def disk(config: Config, workdir: Path) -> Section:
    """Room for the checkpoints that the run will hold at once: those that stay, and the one being written."""
    size = _checkpoint_bytes(MODELS[config.method](config), config)
    saves = math.ceil(config.total_steps / config.run.save_every)
    more = max(0, min(config.run.keep + 1, saves) - len(checkpoint.steps(workdir)))
    needed = more * size + checkpoint.MARGIN
    place = next(folder for folder in (workdir.absolute(), *workdir.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    facts = [f"{_size(free)} are free; {more} more checkpoints of {_size(size)} need {_size(needed)}"]
    if needed <= free:
        return Section(f"disk of {workdir}", facts)
    return Section(f"disk of {workdir}", facts, [
        Finding("error", "the disk will be full", "training stops when it is: make room, or give another --workdir")])


def training(config: Config, workdir: Path, source: Source, hiding: Hiding, steps: int) -> Section:
    """Memory of the step, as compiled for the devices that are here, and `steps` steps on real data. Writes nothing."""
    mesh = data_mesh()
    kind = f"{mesh.size} x {mesh.devices.flat[0].device_kind}"
    result = Section(f"training on {kind}")
    try:
        reader = resume.newest(config, workdir)
        done = 0 if reader is None else reader.step
        if done >= config.total_steps:
            result.facts.append(f"all {done:,} steps are done")
            return result
        model = MODELS[config.method](config, config.phase_of(done + 1))
        model.prepare()
        compiled = compile_ahead(model, config, hiding, mesh)
        if _memory(result, compiled, mesh):
            speed = dry_run(model, config, compiled, source, hiding, mesh, steps)
            _speed(result, config, speed, config.total_steps - done)
    except RunError as error:
        result.findings.append(Finding("error", str(error), "this will end the training too"))
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        result.findings.append(_too_large(f"out of memory: {str(error).splitlines()[0]}"))
    return result


def dry_run(
    model: Model, config: Config, compiled: Compiled, source: Source, hiding: Hiding, mesh: Mesh, steps: int
) -> Speed:
    """The speed of `steps` steps from a fresh state on, after one that does not count, measured as training does it.

    Raises RunError for what ends a training.
    """
    everywhere = NamedSharding(mesh, PartitionSpec())
    state, bank = state_lib.create(model, config, everywhere), jax.device_put(hiding.bank, everywhere)
    told = _Told()
    run = dataclasses.replace(config.run, log_every=steps + 1)
    watch = progress.Progress(dataclasses.replace(config, run=run), told)
    moving = Steps(state, bank, watch, _Unforgiving())
    moving.compiled = compiled
    with contextlib.closing(pipeline.train_batches(source, config, start=0)) as images, quiet(progress):
        for _ in range(steps + 1):
            moving.do(loop.next_images(images, mesh, watch))
        moving.settle()
    return Speed(told.values["speed/steps_per_second"], told.values["speed/data_wait"])


class _Told(Logbook):
    """Keeps the last numbers instead of writing them down."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        self.values = dict(values)


class _Unforgiving(Failures):
    """Ends at the first step that is not finite, and writes nothing."""

    def __init__(self) -> None:
        pass

    def over(self) -> None:
        pass

    def note(self, step: int, terms: dict[str, float], images: jax.Array, state: State) -> None:
        raise Diverged(f"dry run, {describe(step, terms)}; lower learning_rate")


def _memory(result: Section, compiled: Compiled, mesh: Mesh) -> bool:
    """Adds what the step needs to the report; whether it fits."""
    found = compiled.memory_analysis()
    needed = (found.argument_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes
              + found.temp_size_in_bytes)  # fmt: skip
    there = (mesh.devices.flat[0].memory_stats() or {}).get("bytes_limit")
    if there is None:  # devices that share the memory of the host
        needed, there = needed * mesh.size, _host_memory()
    share = needed / there
    result.facts.append(f"memory: a step needs {_size(needed)}, {share:.1%} of {_size(there)}")
    if share > 1:
        result.findings.append(_too_large("a step does not fit into the memory"))
    elif share > FULL:
        result.findings.append(Finding("warning", "a step nearly fills the memory",
                                       "another program, or the fine-tuning phase, may be too much"))
    return share <= 1


def _too_large(what: str) -> Finding:
    return Finding("error", what, "lower config.batch_size, or give --config.remat or --config.dtype=bfloat16")


def _speed(result: Section, config: Config, speed: Speed, left: int) -> None:
    seconds = left / speed.steps_per_second
    end = datetime.datetime.fromtimestamp(time.time() + seconds)
    result.facts += [
        f"speed: {speed.steps_per_second * config.batch_size:.3g} images/s, {speed.steps_per_second:.3g} steps/s, "
        f"{speed.data_wait:.1%} of it waiting for photographs",
        f"finish: {left:,} steps left take {progress.duration(seconds)}, till {end:%Y-%m-%d %H:%M} if started now "
        "(saving and pictures not counted)",
    ]
    if speed.data_wait > SLOW_DATA:
        result.findings.append(Finding("warning", "training waits for photographs", "raise config.run.read_threads, or "
                                       f"store them with a shorter side of {2 * config.data.shorter_side} px or less"))


def _checkpoint_bytes(model: Model, config: Config) -> int:
    held = jax.eval_shape(lambda: state_lib.items(state_lib.fresh(model, config)))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(held))


def _host_memory() -> int:
    """Bytes that this process may use."""
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = CGROUP.read_text().strip() if CGROUP.exists() else "max"
    return there if limit == "max" else min(there, int(limit))


def _size(number: int) -> str:
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.1f} MiB"
