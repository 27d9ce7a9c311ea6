"""Eight fake CPU devices, and every shape annotation of the package checked at run time."""

import os
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
# Optimising machine code takes most of the tests' time and changes none of their results.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"

import jax
import pytest
from jaxtyping import install_import_hook

install_import_hook("mai_jax", "beartype.beartype").__enter__()


@pytest.fixture
def x64():
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield


def untrained_run(folder: Path, **fields) -> Path:
    """A training folder with one checkpoint, of a tiny MAI fresh from its seed; `fields` are of its config."""
    from mai_jax import checkpoint
    from mai_jax import config as config_lib
    from mai_jax.models import MODELS
    from mai_jax.training import state as state_lib

    config = config_lib.Config(**{
        "image_size": 32, "batch_size": 8, "generator": config_lib.Generator(width=4, squeeze=4),
        "discriminator": config_lib.Discriminator(width=4), "vgg16": config_lib.VGG16(weights="random", width=4),
        "train": config_lib.Phase(steps=1), **fields})  # fmt: skip
    state = state_lib.create(MODELS[config.method](config), config)
    items = {"params": {"params": state.params, "stats": state.stats}, "opt": state.opt}
    with checkpoint.Writer(folder, keep=1) as writer:
        writer.save(1, items, {"config": config_lib.to_dict(config)})
    return folder
