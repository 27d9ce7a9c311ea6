"""A step that failed, done again from the file that it left: `python train.py --replay=FILE`."""

import json
import logging
import math
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from safetensors import SafetensorError, safe_open

from mai_jax import config as config_lib
from mai_jax.config import Config
from mai_jax.models import MODELS
from mai_jax.models.base import Model
from mai_jax.training import failures
from mai_jax.training import state as state_lib
from mai_jax.training.state import State
from mai_jax.training.step import judge, keys
from mai_jax.types import Batch, InputError

log = logging.getLogger(__name__)


class Failure(NamedTuple):
    """What `failures.Failures` wrote."""

    config: Config
    step: int
    terms: dict[str, float]  # as they were found
    ids: list[str]  # of the photographs
    state: State  # before the step; its optimisers are new
    images: UInt8[np.ndarray, "b h w 3"]
    known: Float[Array, "b h w 1"]


def replay(path: Path) -> bool:
    """Does the step again on the devices that are here, and reports term by term; whether it fails again.

    Raises InputError.
    """
    failure = read(path)
    model = MODELS[failure.config.method](failure.config, failure.config.phase_of(failure.step))
    model.prepare()
    log.info("step %d of %s, %s: %s", failure.step, failure.config.method, failure.config.dtype, ", ".join(failure.ids))
    terms, broken = jax.device_get(jax.jit(lambda state: _again(model, failure, state))(failure.state))
    for name, now in terms.items():
        log.info("%-32s %12.6g then %12.6g now", name, failure.terms.get(name, math.nan), now)
    for player, gradients in broken.items():
        bad = [name for name, is_broken in gradients.items() if is_broken]
        log.info("%s: %d of %d gradients are not finite%s", player, len(bad), len(gradients),
                 f", {bad[0]} the first" if bad else "")
    again = not all(map(math.isfinite, terms.values()))
    log.info("it fails again" if again else "it does not fail here: other devices and versions round otherwise")
    return again


def _again(model: Model, failure: Failure, state: State) -> tuple[dict[str, Array], dict[str, dict[str, Array]]]:
    """The scalars of the step, and for every gradient, by player and name, whether it is not finite."""
    batch = Batch(jnp.asarray(failure.images).astype(float) / 255, jnp.asarray(failure.known))
    _, *player_keys = keys(model, state)
    found = judge(model, state, batch, player_keys)
    broken = {player: {jax.tree_util.keystr(path): ~jnp.isfinite(leaf).all()
                       for path, leaf in jax.tree_util.tree_leaves_with_path(one.gradients)}
              for player, one in found.items()}  # fmt: skip
    return {name: term for one in found.values() for name, term in one.logs.items()}, broken


def read(path: Path) -> Failure:
    """The failure in a file. Raises InputError."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a file of the folder {failures.FOLDER}/ of a run")
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {})["mai_jax"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return _build(about, arrays)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a file that a failed step left ({error}); give one of the folder "
                         f"{failures.FOLDER}/ of a run") from error


def _build(about: dict[str, Any], arrays: dict[str, np.ndarray]) -> Failure:
    """Raises KeyError, TypeError, ValueError or InputError."""
    config, step = config_lib.from_dict(about["config"]), int(about["step"])
    config_lib.check(config)
    if not 1 <= step <= config.total_steps:
        raise ValueError(f"step {step} of {config.total_steps}")
    model, size = MODELS[config.method](config), config.image_size
    like = jax.eval_shape(lambda: state_lib.items(state_lib.fresh(model, config)))["params"]
    saved = jax.tree_util.tree_map_with_path(lambda path, _: arrays[jax.tree_util.keystr(path)], like)
    wanted = {"images": ((config.batch_size, size, size, 3), np.uint8),
              "known": ((config.batch_size, size, size, 1), np.uint8)}  # fmt: skip
    wanted |= {name: (leaf.shape, leaf.dtype) for name, leaf in failures.named(like).items()}
    for name, (shape, dtype) in wanted.items():
        if arrays[name].shape != shape or arrays[name].dtype != dtype:
            raise ValueError(f"{name} is {arrays[name].dtype}{list(arrays[name].shape)}")
    terms = {name: float(value) for name, value in about["terms"].items()}
    state = state_lib.restored({"params": saved, "opt": {}}, step - 1, config)
    ids, known = [str(name) for name in about["ids"]], arrays["known"].astype(np.float32)
    return Failure(config, step, terms, ids, state, arrays["images"], known)
