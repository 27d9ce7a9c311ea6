"""Write converted weights as a checkpoint folder, like that of a training run."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util

from mai_jax import config as config_lib
from mai_jax.batch import Batch
from mai_jax.config import Config
from mai_jax.errors import InputError
from mai_jax.files import write_atomically
from mai_jax.models import model_class
from mai_jax.models.base import Variables
from mai_jax.training.checkpointing import CheckpointWriter


def check(folder: Path) -> None:
    """Raise InputError if the folder exists and is not empty, or is a file."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: already exists; give another --output")


def fill_missing(config: Config, variables: Variables) -> Variables:
    """Return `variables` with the method's initial values, from the config's seed, where entries are missing."""
    model, size = model_class(config.method)(config), config.image_size
    given = _flatten(variables)

    def missing() -> dict[tuple[str, ...], jax.Array]:
        batch = Batch(jnp.zeros((1, size, size, 3)), jnp.ones((1, size, size, 1)))
        initial = _flatten(model.init(jax.random.key(config.seed), batch))
        return {path: value for path, value in initial.items() if path not in given}  # jit computes only these

    return traverse_util.unflatten_dict(given | jax.jit(missing)())


def write(folder: Path, config: Config, variables: Variables) -> None:
    """Write a checkpoint of step 0 and config.json. The folder exists complete or not at all. Raises RunError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        unfinished = Path(temporary, folder.name)
        with CheckpointWriter(unfinished, keep=1) as writer:
            writer.save(0, {"params": variables}, {"config": config_lib.to_dict(config)})
            writer.wait()
        write_atomically(unfinished / "config.json", json.dumps(config_lib.to_dict(config), indent=2).encode() + b"\n")
        os.replace(unfinished, folder)


def _flatten(variables: Variables) -> dict[tuple[str, ...], Any]:
    return traverse_util.flatten_dict(variables, keep_empty_nodes=True)
