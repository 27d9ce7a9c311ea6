"""Table 5: training time per image, measured for all methods in turn in one process."""

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

from mai_jax.compare.methods import Method
from mai_jax.config import Config
from mai_jax.data import pipeline, sources
from mai_jax.data.hole_sampler import make_hole_sampler
from mai_jax.evaluation.eval_target import code_version
from mai_jax.models import model_class
from mai_jax.training import train_state
from mai_jax.training.train_step import data_mesh, make_train_step

log = logging.getLogger(__name__)

ROUNDS = 7  # per method
STEPS = 3  # per round
INCLUDED = ("A whole training step of the first phase: sampling of holes, losses, gradients, batch statistics and Adam "
            "of all networks that are trained. Not included: image reading, compilation, logging, checkpoints.")


class Times(NamedTuple):
    """Times in ms per image of every round, by title of the method, and the conditions of the measurement (`about`)."""

    rounds: dict[str, list[float]]
    about: dict[str, Any]

    @property
    def medians(self) -> dict[str, float]:
        """Return the median over the rounds, by title."""
        return {title: statistics.median(times) for title, times in self.rounds.items()}

    def as_json(self) -> dict[str, Any]:
        """Return the content of table5.json."""
        return {"ms_per_image": self.medians, "of_each_round": self.rounds, **self.about}


def from_json(content: dict[str, Any]) -> Times:
    """Return the times in the content of table5.json. Raises KeyError, TypeError or ValueError if it is invalid."""
    about = {name: value for name, value in content.items() if name not in ("ms_per_image", "of_each_round")}
    rounds = {title: [float(ms) for ms in times] for title, times in content["of_each_round"].items()}
    return Times(rounds, about)


def measure(methods: Sequence[Method]) -> Times:
    """Return the training times. Rounds alternate between the methods, so that other load affects all of them."""
    programs = {method.title: _training_program(method.config) for method in methods}
    for title, run_steps in programs.items():
        log.info("timing: compiling %s", title)
        run_steps(1)
    rounds: dict[str, list[float]] = {title: [] for title in programs}
    for _ in range(ROUNDS):
        for title, run_steps in programs.items():
            begin = time.perf_counter()
            run_steps(STEPS)
            seconds = time.perf_counter() - begin
            rounds[title].append(1e3 * seconds / (STEPS * methods[0].config.batch_size))
    return Times(rounds, _about(methods[0].config))


def _training_program(config: Config) -> Callable[[int], None]:
    """Return a function that runs a number of training steps on one batch and waits until they are done."""
    mesh = data_mesh()
    replicated, sharded = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("data",)))
    phase = next(name for name, phase in config.phases.items() if phase.steps)
    model = model_class(config.method)(config, phase)
    hole_sampler = make_hole_sampler(config.holes.train_masks, config.holes, config.image_size)
    step = make_train_step(model, config, hole_sampler.sample, mesh)
    with closing(pipeline.train_batches(sources.open_source(config.data, "train"), config, start=0)) as batches:
        images = jax.device_put(next(batches), sharded)
    mask_bank = jax.device_put(hole_sampler.mask_bank, replicated)
    state = train_state.init_on_devices(model, config, replicated)

    def run(steps: int) -> None:
        nonlocal state
        for _ in range(steps):
            state, _ = step(state, images, mask_bank)
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
