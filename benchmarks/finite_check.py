"""The cost of detecting NaN and infinity and skipping such a step: steps with and without it, timed alternately.

python -m benchmarks.finite_check [--config=configs/quickstart.py] [--rounds=9]
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import records
from mai_jax.cli import app, config_argument
from mai_jax.cli.arguments import Parser, integer
from mai_jax.data.hole_sampler import make_hole_sampler
from mai_jax.models import model_class
from mai_jax.training import train_state
from mai_jax.training import train_step as train_step_module
from mai_jax.training.train_state import TrainState
from mai_jax.training.train_step import train_step

STEPS = 10  # per round

Step = Callable[[TrainState, jax.Array], tuple[TrainState, dict[str, jax.Array]]]


def unchecked_train_step(*arguments: Any) -> tuple[TrainState, dict[str, jax.Array]]:
    """`train_step` that always applies its update."""
    with mock.patch.object(train_step_module, "skip_if_nonfinite", lambda state, new, logs: (new, logs)):
        return train_step(*arguments)


def main() -> None:
    parser = Parser(prog="python -m benchmarks.finite_check", description=__doc__)
    config_argument.add_config(parser, default="configs/quickstart.py")
    parser.add_argument("--rounds", type=integer(at_least=1), default=9, help="how often each program is timed")
    given = parser.parse()
    app.enable_compilation_cache()
    config = config_argument.load(given)
    model = model_class(config.method)(config)
    model.prepare()
    optimizers = model.make_optimizers(train_state.learning_rate_schedule(config))
    hole_sampler = make_hole_sampler(config.holes.train_masks, config.holes, config.image_size)
    shape = (config.batch_size, config.image_size, config.image_size, 3)
    images = jnp.asarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8))

    def compiled(step: Callable[..., Any]) -> Step:
        return jax.jit(lambda state, images: step(
            model, optimizers, hole_sampler.sample, state, images, hole_sampler.mask_bank), donate_argnums=0)

    programs = {"with": compiled(train_step), "without": compiled(unchecked_train_step)}
    states = {name: train_state.init_on_devices(model, config) for name in programs}
    times: dict[str, list[float]] = {name: [] for name in programs}
    for round_ in range(1 + given.rounds):  # the first compiles
        for name, step in programs.items():
            begin = time.perf_counter()
            for _ in range(STEPS):
                states[name], logs = step(states[name], images)
            jax.block_until_ready((states[name].params, logs))
            if round_:
                times[name].append((time.perf_counter() - begin) / STEPS * 1e3)
    ratio = statistics.median(a / b for a, b in zip(*times.values(), strict=True))
    ms = {name: round(statistics.median(values), 2) for name, values in times.items()}
    print(f"a step with the check {ms['with']} ms, without {ms['without']} ms; median of the ratios {ratio:.3f}")
    records.append("finite_check", {"image_size": config.image_size, "batch": config.batch_size, "ms": ms,
                                    "ratio": round(ratio, 4)})  # fmt: skip


if __name__ == "__main__":
    sys.exit(app.run(main))
