"""A checkpoint to try things with."""

from pathlib import Path

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
