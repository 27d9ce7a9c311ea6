"""Steps whose values are not finite: recorded for `train.py --replay`, and limited in number."""

import json
import logging
import math
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Float, UInt8
from safetensors import SafetensorError, safe_open

from mai_jax import config as config_lib
from mai_jax.batch import Batch
from mai_jax.config import Config
from mai_jax.data import pipeline
from mai_jax.data.hole_sampler import HoleSampler
from mai_jax.data.sources import Source
from mai_jax.errors import InputError, RunError
from mai_jax.files import write_atomically
from mai_jax.models import model_class
from mai_jax.models.base import Model
from mai_jax.training import train_state
from mai_jax.training.train_state import TrainState
from mai_jax.training.train_step import accumulate_gradients, step_rngs

FOLDER = "failures"
NUM_KEPT = 3  # files, each as large as a checkpoint without optimizer state

log = logging.getLogger(__name__)


class Diverged(RunError):
    """Too many steps in a row had a loss term or a gradient norm that is not finite."""


class NonfiniteSteps:
    """Records steps with values that are not finite.

    For the first such step in a row it writes `failures/STEP.safetensors` with everything needed to replay the step:
    images, holes, params, batch_stats, config. The newest NUM_KEPT files are kept.
    """

    def __init__(self, config: Config, workdir: Path, source: Source, hole_sampler: HoleSampler) -> None:
        self._config = config
        self._folder = workdir / FOLDER
        self._source = source
        self._hole_sampler = hole_sampler
        self._in_a_row = 0

    def reset(self) -> None:
        """Count from 0 again; to be called after a step that was applied."""
        self._in_a_row = 0

    def record(self, step: int, terms: dict[str, float], images: jax.Array, state: TrainState) -> None:
        """Record a step that was skipped. `state` is the state before it.

        Raises Diverged after `run.max_nonfinite_steps` in a row.
        """
        self._in_a_row += 1
        path = self._folder / f"{step}.safetensors"
        message = describe(step, terms)
        log.warning("%s; the step is skipped", message)
        if self._in_a_row == 1:
            try:
                self._write(path, step, terms, images, state)
                log.warning("to replay the step: python train.py --replay=%s", path)
            except OSError as error:  # such as a full disk; training can continue
                log.warning("%s: cannot be written (%s): the step cannot be replayed", path, error)
        if self._in_a_row == self._config.run.max_nonfinite_steps:
            raise Diverged(f"{message}, as the {self._in_a_row - 1} steps before it" if self._in_a_row > 1 else message)

    def _write(self, path: Path, step: int, terms: dict[str, float], images: jax.Array, state: TrainState) -> None:
        assert isinstance(images.sharding, NamedSharding)  # the trainer made them so
        replicated = NamedSharding(images.sharding.mesh, PartitionSpec())
        model = model_class(self._config.method)(self._config, self._config.phase_of(step))
        hole_rng, *_ = step_rngs(model, state)
        sample = jax.jit(self._hole_sampler.sample, static_argnums=2)
        valid = sample(self._hole_sampler.mask_bank, hole_rng, len(images))
        images = jax.jit(lambda x: x, out_shardings=replicated)(images)  # gathered from all processes
        if jax.process_index() != 0:
            return
        arrays = {"images": np.asarray(images), "valid": np.asarray(valid, np.uint8)}
        arrays |= {name: np.asarray(leaf) for name, leaf in named_leaves(state.variables).items()}
        metadata = {
            "config": config_lib.to_dict(self._config), "step": step, "terms": {k: str(v) for k, v in terms.items()},
            "ids": pipeline.ids(self._source, self._config, step - 1),
        }  # fmt: skip
        self._folder.mkdir(exist_ok=True)
        write_atomically(path, safetensors.numpy.save(arrays, metadata={"mai_jax": json.dumps(metadata)}))
        for old in sorted(self._folder.glob("*.safetensors"), key=lambda file: int(file.stem))[:-NUM_KEPT]:
            old.unlink()


def describe(step: int, terms: dict[str, float]) -> str:
    """Return a line that names one term that is not finite, a gradient norm only if all other terms are finite."""
    names = sorted((name for name, value in terms.items() if not math.isfinite(value)),
                   key=lambda name: name.endswith("gradient_norm"))  # fmt: skip
    return f"step {step}: {names[0]} is {terms[names[0]]}"


def named_leaves(tree: Any) -> dict[str, Any]:
    """Return the leaves of a pytree by their path."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


class Failure(NamedTuple):
    """The content of a file that `NonfiniteSteps` wrote."""

    config: Config
    step: int
    terms: dict[str, float]  # the scalars of the step
    ids: list[str]  # of the photographs
    state: TrainState  # before the step, without opt_state
    images: UInt8[np.ndarray, "b h w 3"]
    valid: Float[np.ndarray, "b h w 1"]


def replay(path: Path) -> bool:
    """Repeat the step on the local devices and log every term. Return whether it fails again. Raises InputError."""
    failure = read(path)
    model = model_class(failure.config.method)(failure.config, failure.config.phase_of(failure.step))
    model.prepare()
    log.info("step %d of %s, %s: %s", failure.step, failure.config.method, failure.config.dtype, ", ".join(failure.ids))
    terms, nonfinite = jax.device_get(jax.jit(lambda state: _repeat(model, failure, state))(failure.state))
    for name, value in terms.items():
        log.info("%-32s %12.6g then %12.6g now", name, failure.terms.get(name, math.nan), value)
    for network, gradients in nonfinite.items():
        names = [name for name, is_nonfinite in gradients.items() if is_nonfinite]
        log.info("%s: %d of %d gradients are not finite%s", network, len(names), len(gradients),
                 f", the first is {names[0]}" if names else "")
    fails_again = not all(map(math.isfinite, terms.values()))
    log.info("it fails again" if fails_again else "it does not fail here: rounding depends on devices and versions")
    return fails_again


def _repeat(model: Model, failure: Failure, state: TrainState) -> tuple[dict[str, Array], dict[str, dict[str, Array]]]:
    """Return the scalars of the step, and for every gradient, by network and name, whether it is not finite."""
    batch = Batch(jnp.asarray(failure.images).astype(float) / 255, jnp.asarray(failure.valid))
    _, *network_rngs = step_rngs(model, state)
    outputs = accumulate_gradients(model, state, batch, network_rngs, failure.config.accumulate)
    nonfinite = {network: {name: ~jnp.isfinite(leaf).all() for name, leaf in named_leaves(output.gradients).items()}
                 for network, output in outputs.items()}  # fmt: skip
    return {name: term for output in outputs.values() for name, term in output.logs.items()}, nonfinite


def read(path: Path) -> Failure:
    """Return the content of a file in `failures/`. Raises InputError."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a file of the folder {FOLDER}/ of a run")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = json.loads((file.metadata() or {})["mai_jax"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return _build(metadata, arrays)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a record of a failed step ({error}); give a file of the folder "
                         f"{FOLDER}/ of a run") from error


def _build(metadata: dict[str, Any], arrays: dict[str, np.ndarray]) -> Failure:
    """Return the failure. Raises KeyError, TypeError, ValueError or InputError for unusable content."""
    config, step = config_lib.from_dict(metadata["config"]), int(metadata["step"])
    config_lib.check(config)
    if not 1 <= step <= config.total_steps:
        raise ValueError(f"step {step} of {config.total_steps}")
    model, size = model_class(config.method)(config), config.image_size
    like = jax.eval_shape(lambda: train_state.init_state(model, config).variables)
    saved = jax.tree_util.tree_map_with_path(lambda path, _: arrays[jax.tree_util.keystr(path)], like)
    expected = {"images": ((config.batch_size, size, size, 3), np.uint8),
                "valid": ((config.batch_size, size, size, 1), np.uint8)}  # fmt: skip
    expected |= {name: (leaf.shape, leaf.dtype) for name, leaf in named_leaves(like).items()}
    for name, (shape, dtype) in expected.items():
        if arrays[name].shape != shape or arrays[name].dtype != dtype:
            raise ValueError(f"{name} is {arrays[name].dtype}{list(arrays[name].shape)}")
    terms = {name: float(value) for name, value in metadata["terms"].items()}
    state = train_state.restore_state({"params": saved, "opt_state": {}}, step - 1, config)
    ids, valid = [str(name) for name in metadata["ids"]], arrays["valid"].astype(np.float32)
    return Failure(config, step, terms, ids, state, arrays["images"], valid)
