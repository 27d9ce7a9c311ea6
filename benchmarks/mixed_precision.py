"""The loss over 300 quickstart steps in float32, in bfloat16, and in float32 with another seed, the run-to-run noise.

python -m benchmarks.mixed_precision

Photographs, holes and initial parameters are the same for both precisions. Prints the generator's mean loss over each
50 steps.
"""

import contextlib

import jax
import numpy as np

from benchmarks import records
from mai_jax.cli import config_argument
from mai_jax.data import pipeline, sources
from mai_jax.data.hole_sampler import make_hole_sampler
from mai_jax.models import model_class
from mai_jax.training import train_state
from mai_jax.training.train_step import data_mesh, make_train_step

STEPS, WINDOW = 300, 50


def losses(dtype: str, seed: int) -> np.ndarray:
    """Return the generator's total loss at every step."""
    config = config_argument.load_file(config_argument.find("quickstart"))
    config.dtype, config.seed = dtype, seed
    model = model_class(config.method)(config)
    hole_sampler = make_hole_sampler(config.holes.train_masks, config.holes, config.image_size)
    step = make_train_step(model, config, hole_sampler.sample, data_mesh())
    state, totals = train_state.init_on_devices(model, config), []
    with contextlib.closing(pipeline.train_batches(sources.open_source(config.data, "train"), config, start=0)) as data:
        for _ in range(STEPS):
            state, logs = step(state, next(data), hole_sampler.mask_bank)
            totals.append(logs["generator/total"])
    return np.array(jax.device_get(totals))


def main() -> None:
    runs = {"float32": losses("float32", 0), "bfloat16": losses("bfloat16", 0),
            "float32, another seed": losses("float32", 1)}
    means = {name: totals.reshape(-1, WINDOW).mean(1) for name, totals in runs.items()}
    print("steps" + " " * 19 + "".join(f"{end - WINDOW + 1:>4}-{end:<5}" for end in range(WINDOW, STEPS + 1, WINDOW)))
    for name, mean in means.items():
        print(f"{name:22}  " + "".join(f"{value:9.4f} " for value in mean))
    rounding, noise = (np.abs(means[name] / means["float32"] - 1) for name in ("bfloat16", "float32, another seed"))
    print(f"mean relative difference from float32: bfloat16 {rounding.mean():.1%}, another seed {noise.mean():.1%}")
    records.append("mixed_precision", {name: [round(float(v), 4) for v in mean] for name, mean in means.items()})


if __name__ == "__main__":
    main()
