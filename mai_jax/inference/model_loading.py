"""Loading of a checkpoint or a packed model as a model with its variables."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mai_jax.batch import Batch
from mai_jax.config import Config
from mai_jax.errors import InputError
from mai_jax.inference import packed_model
from mai_jax.models import MODELS
from mai_jax.models.base import Model, Variables
from mai_jax.training.checkpointing import CheckpointReader


class LoadedModel(NamedTuple):
    """A model, its config, its variables and the step they were saved at."""

    model: Model
    config: Config
    variables: Variables
    step: int


def load_model(folder: str | Path, step: int | None = None, *, portable: bool = False) -> LoadedModel:
    """Return the newest checkpoint (or that of `step`) of a training folder, or a packed model.

    A packed model has the networks that a prediction uses only.

    `portable` selects float32 and the dense attention, which can be exported for every platform and for variable sizes;
    the parameters are the same. Raises InputError if there is no such checkpoint, it is damaged, or its method is
    unknown.
    """
    folder = Path(folder)
    kind = packed_model.PackedReader if packed_model.is_packed(folder) else CheckpointReader
    reader = kind(folder, step)
    config = reader.config
    if config.method not in MODELS:
        raise InputError(f"{reader.path}: config.method={config.method!r} is unknown; use the version of mai_jax that "
                         "wrote it")
    if portable:
        generator = dataclasses.replace(config.generator, attention="dense")
        config = dataclasses.replace(config, generator=generator, dtype="float32")
    model = MODELS[config.method](config)
    size = config.image_size
    batch = jax.eval_shape(lambda: Batch(*(jnp.zeros((1, size, size, channels), jnp.float32) for channels in (3, 1))))
    shapes = jax.eval_shape(model.init, jax.random.key(0), batch)
    return LoadedModel(model, config, reader.read("params", shapes), reader.step)
