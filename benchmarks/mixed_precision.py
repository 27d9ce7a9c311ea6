"""The loss of 300 quickstart steps in float32 and bfloat16, and in float32 with another seed: the noise between runs.

python -m benchmarks.mixed_precision

Same photographs, holes and first parameters for both precisions. Prints the generator's mean loss over each 50 steps.
"""

import contextlib
import importlib

import jax
import numpy as np

from benchmarks import records
from mai_jax.data import holes, pipeline, sources
from mai_jax.models import MODELS
from mai_jax.training import state as state_lib
from mai_jax.training.step import compile_step, data_mesh

STEPS, WINDOW = 300, 50


def losses(dtype: str, seed: int) -> np.ndarray:
    """The generator's total loss at every step."""
    config = importlib.import_module("configs.quickstart").get_config()
    config.dtype, config.seed = dtype, seed
    model = MODELS[config.method](config)
    hiding = holes.sampler(config.holes.train, config.holes, config.image_size)
    step = compile_step(model, config, hiding.sample, data_mesh())
    state, found = state_lib.create(model, config), []
    with contextlib.closing(pipeline.train_batches(sources.open_source(config.data, "train"), config, start=0)) as data:
        for _ in range(STEPS):
            state, logs = step(state, next(data), hiding.bank)
            found.append(logs["generator/total"])
    return np.array(jax.device_get(found))


def main() -> None:
    runs = {"float32": losses("float32", 0), "bfloat16": losses("bfloat16", 0),
            "float32, another seed": losses("float32", 1)}
    means = {name: found.reshape(-1, WINDOW).mean(1) for name, found in runs.items()}
    print("steps" + " " * 19 + "".join(f"{end - WINDOW + 1:>4}-{end:<5}" for end in range(WINDOW, STEPS + 1, WINDOW)))
    for name, mean in means.items():
        print(f"{name:22}  " + "".join(f"{value:9.4f} " for value in mean))
    far, noise = (np.abs(means[name] / means["float32"] - 1) for name in ("bfloat16", "float32, another seed"))
    print(f"mean distance from float32: bfloat16 {far.mean():.1%}, another seed {noise.mean():.1%}")
    records.append("mixed_precision", {name: [round(float(v), 4) for v in mean] for name, mean in means.items()})


if __name__ == "__main__":
    main()
