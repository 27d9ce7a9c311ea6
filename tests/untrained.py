"""Helpers that write an untrained checkpoint and photographs of noise."""

from pathlib import Path

import numpy as np
import safetensors.numpy
from flax import traverse_util
from PIL import Image

from mai_jax import config as config_lib
from mai_jax.convert import lama
from mai_jax.models import model_class
from mai_jax.training import checkpointing, train_state


def untrained_run(folder: Path, **fields) -> Path:
    """Write a training folder with one checkpoint, the initial state of a tiny MAI; `fields` are config fields."""
    config = config_lib.Config(**{
        "image_size": 32, "batch_size": 8, "generator": config_lib.Generator(width=4, se_reduction=4),
        "discriminator": config_lib.Discriminator(width=4), "vgg16": config_lib.VGG16(weights="random", width=4),
        "main_phase": config_lib.Phase(steps=1), **fields})  # fmt: skip
    state = train_state.init_on_devices(model_class(config.method)(config), config)
    items = {"params": {"params": state.params, "batch_stats": state.batch_stats}, "opt_state": state.opt_state}
    with checkpointing.CheckpointWriter(folder, keep=1) as writer:
        writer.save(1, items, {"config": config_lib.to_dict(config)})
    return folder


def public_lama(path: Path, width: int = 4, blocks: int = 0) -> Path:
    """Write the generator of an untrained LaMa with the tensor names of its authors."""
    config = config_lib.Config(method="lama", lama=config_lib.LaMa(width=width, blocks=blocks, discriminator_width=1))
    variables = train_state.init_on_devices(model_class("lama")(config), config).variables
    modules, tensors = dict(lama.generator_modules(blocks)), {}
    for collection in variables.values():
        for place, leaf in traverse_util.flatten_dict(collection["generator"]).items():
            kernel = np.asarray(leaf).transpose(3, 2, 0, 1) if leaf.ndim == 4 else np.asarray(leaf)
            tensors[f"{modules[place[:-1]]}.{lama.LEAVES[place[-1]]}"] = np.ascontiguousarray(kernel)
    path.write_bytes(safetensors.numpy.save(tensors))
    return path


def noise_photographs(folder: Path, count: int, height: int, width: int) -> str:
    """Write a new folder with `count` PNG files of noise, 0.png and so on, always the same. Return its path."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(rng.integers(0, 255, (height, width, 3), np.uint8)).save(folder / f"{i}.png")
    return str(folder)
