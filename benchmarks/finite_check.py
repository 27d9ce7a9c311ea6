"""What the step pays for finding NaN and infinity, and for leaving such a step out: with and without, in turn.

python -m benchmarks.finite_check [--config=configs/quickstart.py] [--rounds=9]
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from ml_collections import config_flags

from benchmarks import records
from mai_jax import command
from mai_jax.data import holes
from mai_jax.models import MODELS
from mai_jax.training import state as state_lib
from mai_jax.training.state import State
from mai_jax.training.step import moved, train_step

CONFIG = config_flags.DEFINE_config_file("config", "configs/quickstart.py")
ROUNDS = flags.DEFINE_integer("rounds", 9, "How often each is timed.")
STEPS = 10  # of a round

Step = Callable[[State, jax.Array], tuple[State, dict[str, jax.Array]]]


def main() -> None:
    config = command.config(CONFIG)
    model = MODELS[config.method](config)
    model.prepare()
    optimisers = state_lib.optimisers(model, config)
    hiding = holes.sampler(config.holes.train, config.holes, config.image_size)
    shape = (config.batch_size, config.image_size, config.image_size, 3)
    images = jnp.asarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8))

    def compiled(step: Callable[..., Any]) -> Step:
        return jax.jit(lambda state, images: step(model, optimisers, hiding.sample, state, images, hiding.bank),
                       donate_argnums=0)

    programs = {"with": compiled(train_step), "without": compiled(moved)}
    states = {name: state_lib.create(model, config) for name in programs}
    took: dict[str, list[float]] = {name: [] for name in programs}
    for round_ in range(1 + ROUNDS.value):  # the first compiles
        for name, step in programs.items():
            begin = time.perf_counter()
            for _ in range(STEPS):
                states[name], logs = step(states[name], images)
            jax.block_until_ready((states[name].params, logs))
            if round_:
                took[name].append((time.perf_counter() - begin) / STEPS * 1e3)
    ratio = statistics.median(a / b for a, b in zip(*took.values(), strict=True))
    ms = {name: round(statistics.median(times), 2) for name, times in took.items()}
    print(f"a step with the check {ms['with']} ms, without {ms['without']} ms; median of the ratios {ratio:.3f}")
    records.append("finite_check", {"image_size": config.image_size, "batch": config.batch_size, "ms": ms,
                                    "ratio": round(ratio, 4)})  # fmt: skip


if __name__ == "__main__":
    command.run(main)
