"""Loading of a checkpoint or a packed model as a model with its variables."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

from mai_jax.config import Config
from mai_jax.errors import InputError
from mai_jax.models import model_class
from mai_jax.models.base import Model, Variables
from mai_jax.training.packed_model import open_reader
from mai_jax.training.train_state import variable_shapes


class LoadedModel(NamedTuple):
    """A model, its config, its variables and the step they were saved at."""

    model: Model
    config: Config
    variables: Variables
    step: int


def load_model(folder: str | Path, step: int | None = None, *, portable: bool = False) -> LoadedModel:
    """Return the newest checkpoint (or that of `step`) of a training folder, or a packed model.

    The variables are the averaged ones if the checkpoint holds them. A packed model has those for prediction only.

    `portable` selects float32 and the dense attention, which can be exported for every platform and for variable sizes;
    the parameters are the same. Raises InputError if there is no such checkpoint, it is damaged, or its method is
    unknown.
    """
    reader = open_reader(folder, step)
    config = reader.config
    try:
        method = model_class(config.method)
    except InputError as error:
        raise InputError(f"{reader.path}: {error}") from error
    if portable:
        generator = dataclasses.replace(config.generator, attention="dense")
        config = dataclasses.replace(config, generator=generator, dtype="float32")
    model = method(config)
    item = "ema" if "ema" in reader.meta["arrays"] else "params"
    return LoadedModel(model, config, reader.read(item, variable_shapes(model, config)), reader.step)
