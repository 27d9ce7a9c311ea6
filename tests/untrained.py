"""A checkpoint and photographs to try things with."""

from pathlib import Path

import numpy as np
from PIL import Image

from mai_jax import checkpoint
from mai_jax import config as config_lib
from mai_jax.models import MODELS
from mai_jax.training import state as state_lib


def untrained_run(folder: Path, **fields) -> Path:
    """A training folder with one checkpoint, of a tiny MAI fresh from its seed; `fields` are of its config."""
    config = config_lib.Config(**{
        "image_size": 32, "batch_size": 8, "generator": config_lib.Generator(width=4, squeeze=4),
        "discriminator": config_lib.Discriminator(width=4), "vgg16": config_lib.VGG16(weights="random", width=4),
        "train": config_lib.Phase(steps=1), **fields})  # fmt: skip
    state = state_lib.create(MODELS[config.method](config), config)
    items = {"params": {"params": state.params, "stats": state.stats}, "opt": state.opt}
    with checkpoint.Writer(folder, keep=1) as writer:
        writer.save(1, items, {"config": config_lib.to_dict(config)})
    return folder


def noise_photographs(folder: Path, count: int, height: int, width: int) -> str:
    """A new folder of that many PNG files of noise, 0.png and so on; the same each time."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(rng.integers(0, 255, (height, width, 3), np.uint8)).save(folder / f"{i}.png")
    return str(folder)
