"""Converted weights as a folder like that of a training."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util

from mai_jax import config as config_lib
from mai_jax.checkpoint import Writer
from mai_jax.config import Config
from mai_jax.files import write_whole
from mai_jax.models import MODELS
from mai_jax.models.base import ByPlayer
from mai_jax.types import Batch, InputError

Trees = tuple[ByPlayer, ByPlayer]  # params, stats


def check(folder: Path) -> None:
    """Raises InputError unless the folder is yet to be made, or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: is there already; give another --output")


def completed(config: Config, trees: Trees) -> Trees:
    """`trees` with the method's first values, of the config's seed, where they lack any."""
    model, size = MODELS[config.method](config), config.image_size
    given = _flatten(trees)

    def missing() -> dict[tuple[str, ...], jax.Array]:
        batch = Batch(jnp.zeros((1, size, size, 3)), jnp.ones((1, size, size, 1)))
        fresh = _flatten(model.init(jax.random.key(config.seed), batch))
        return {path: value for path, value in fresh.items() if path not in given}  # jit computes no more than these

    whole = traverse_util.unflatten_dict(given | jax.jit(missing)())
    return whole["params"], whole["stats"]


def _flatten(trees: Trees) -> dict[tuple[str, ...], Any]:
    return traverse_util.flatten_dict(dict(zip(("params", "stats"), trees, strict=True)), keep_empty_nodes=True)


def write(folder: Path, config: Config, trees: Trees) -> None:
    """A checkpoint of step 0, and config.json. The folder is there whole or not at all. Raises RunError."""
    params, stats = trees
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as aside:
        unfinished = Path(aside, folder.name)
        with Writer(unfinished, keep=1) as writer:
            writer.save(0, {"params": {"params": params, "stats": stats}}, {"config": config_lib.to_dict(config)})
            writer.wait()
        write_whole(unfinished / "config.json", json.dumps(config_lib.to_dict(config), indent=2).encode() + b"\n")
        os.replace(unfinished, folder)
