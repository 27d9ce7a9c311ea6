"""Table 5: how long a method trains on one image, all methods in one process in turn."""

import logging
import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import jax
import jaxlib
from jax.sharding import NamedSharding, PartitionSpec

from mai_jax.comparison.entrants import Entrant
from mai_jax.config import Config
from mai_jax.data import holes, pipeline, sources
from mai_jax.evaluation.subject import code_version
from mai_jax.models import MODELS
from mai_jax.training import state as state_lib
from mai_jax.training.step import compile_step, data_mesh

log = logging.getLogger(__name__)

ROUNDS = 7  # of every method ...
STEPS = 3  # ... with so many steps each
INCLUDED = ("A whole training step of the first phase: drawing holes, then losses, gradients, statistics and Adam of "
            "all players that move. Not included: reading photographs, compiling, logging, saving.")


class Times(NamedTuple):
    """`rounds` holds ms per image of every round, by the title of the method."""

    rounds: dict[str, list[float]]
    about: dict[str, Any]

    @property
    def medians(self) -> dict[str, float]:
        return {title: statistics.median(taken) for title, taken in self.rounds.items()}

    def as_json(self) -> dict[str, Any]:
        return {"ms_per_image": self.medians, "of_each_round": self.rounds, **self.about}


def from_json(written: dict[str, Any]) -> Times:
    about = {name: value for name, value in written.items() if name not in ("ms_per_image", "of_each_round")}
    rounds = {title: [float(ms) for ms in taken] for title, taken in written["of_each_round"].items()}
    return Times(rounds, about)


def measure(entrants: Sequence[Entrant]) -> Times:
    """Rounds are interleaved over the methods, so that what else the machine does slows all of them."""
    programs = {entrant.title: _stepping(entrant.config) for entrant in entrants}
    for title, program in programs.items():
        log.info("timing: compiling %s", title)
        program(1)
    rounds: dict[str, list[float]] = {title: [] for title in programs}
    for _ in range(ROUNDS):
        for title, program in programs.items():
            begin = time.perf_counter()
            program(STEPS)
            seconds = time.perf_counter() - begin
            rounds[title].append(1e3 * seconds / (STEPS * entrants[0].config.batch_size))
    return Times(rounds, _about(entrants[0].config))


def _stepping(config: Config) -> Callable[[int], None]:
    """Does that many training steps from a fresh state on, all on one batch, and waits for their end."""
    mesh = data_mesh()
    everywhere, split = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("data",)))
    phase = next(name for name, phase in config.phases.items() if phase.steps)
    model = MODELS[config.method](config, phase)
    hiding = holes.sampler(config.holes.train, config.holes, config.image_size)
    step = compile_step(model, config, hiding.sample, mesh)
    with closing(pipeline.train_batches(sources.open_source(config.data, "train"), config, start=0)) as batches:
        images = jax.device_put(next(batches), split)
    bank = jax.device_put(hiding.bank, everywhere)
    state = state_lib.create(model, config, everywhere)

    def run(steps: int) -> None:
        nonlocal state
        for _ in range(steps):
            state, _ = step(state, images, bank)
        jax.block_until_ready(state)

    return run


def _about(config: Config) -> dict[str, Any]:
    devices = jax.devices()
    cores = f" ({os.cpu_count()} cores)" if devices[0].platform == "cpu" else ""
    return {
        "device": f"{len(devices)} x {devices[0].device_kind}{cores}", "jax": jax.__version__,
        "jaxlib": jaxlib.__version__, "mai_jax": code_version(), "image_size": config.image_size,
        "batch_size": config.batch_size, "dtype": config.dtype, "rounds": ROUNDS, "steps_per_round": STEPS,
        "included": INCLUDED,
    }  # fmt: skip
