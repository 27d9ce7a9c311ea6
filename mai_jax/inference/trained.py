"""A checkpoint as a method with what it has learnt."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mai_jax.checkpoint import Reader
from mai_jax.config import Config
from mai_jax.models import MODELS
from mai_jax.models.base import ByPlayer, Model
from mai_jax.types import Batch, InputError


class Trained(NamedTuple):
    model: Model
    config: Config
    params: ByPlayer
    stats: ByPlayer
    step: int


def read(folder: str | Path, step: int | None = None, *, portable: bool = False) -> Trained:
    """The newest checkpoint (or that of `step`) of a training folder. Raises InputError.

    `portable`: in float32 and with the dense attention, which every platform computes at sizes that stay open; what is
    learnt is the same.
    """
    reader = Reader(Path(folder), step)
    config = reader.config
    if config.method not in MODELS:
        raise InputError(f"{reader.path}: config.method={config.method!r} is unknown; use the version of mai_jax that "
                         "wrote it")
    if portable:
        generator = dataclasses.replace(config.generator, attention="dense")
        config = dataclasses.replace(config, generator=generator, dtype="float32")
    model = MODELS[config.method](config)
    size = config.image_size
    batch = Batch(*(jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32) for channels in (3, 1)))
    params, stats = jax.eval_shape(model.init, jax.random.key(0), batch)
    saved = reader.read("params", {"params": params, "stats": stats})
    return Trained(model, config, saved["params"], saved["stats"], reader.step)
