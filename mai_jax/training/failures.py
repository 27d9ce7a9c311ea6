"""Steps whose numbers were not finite: named, kept for `train.py --replay`, and not borne for ever."""

import json
import logging
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors.numpy
from jax.sharding import NamedSharding, PartitionSpec

from mai_jax import config as config_lib
from mai_jax.config import Config
from mai_jax.data import pipeline
from mai_jax.data.holes import Hiding
from mai_jax.data.sources import Source
from mai_jax.files import write_whole
from mai_jax.models import MODELS
from mai_jax.training import state as state_lib
from mai_jax.training import step as step_lib
from mai_jax.training.state import State
from mai_jax.types import RunError

FOLDER = "failures"
KEPT = 3  # files, each of the size of a checkpoint without its optimisers

log = logging.getLogger(__name__)


class Diverged(RunError):
    """Too many steps in a row found a loss term or a gradient that is not finite."""


class Failures:
    """Writes `failures/STEP.safetensors` for the first failed step of a row: all that it needs to be done again."""

    def __init__(self, config: Config, workdir: Path, source: Source, hiding: Hiding) -> None:
        self._config = config
        self._folder = workdir / FOLDER
        self._source = source
        self._hiding = hiding
        self._row = 0

    def over(self) -> None:
        """To be called after a step that was applied: the row ends."""
        self._row = 0

    def note(self, step: int, terms: dict[str, float], images: jax.Array, state: State) -> None:
        """A step was not applied. `state` is the one before it. Raises Diverged after `run.failures` in a row."""
        self._row += 1
        path = self._folder / f"{step}.safetensors"
        what = describe(step, terms)
        log.warning("%s; the step is left out", what)
        if self._row == 1:
            try:
                self._write(path, step, terms, images, state)
                log.warning("`python train.py --replay=%s` does it again", path)
            except OSError as error:  # a full disk: the run itself may still go on
                log.warning("%s: cannot be written (%s): the step cannot be replayed", path, error)
        if self._row == self._config.run.failures:
            raise Diverged(f"{what}, as the {self._row - 1} steps before it" if self._row > 1 else what)

    def _write(self, path: Path, step: int, terms: dict[str, float], images: jax.Array, state: State) -> None:
        everywhere = NamedSharding(images.sharding.mesh, PartitionSpec())
        model = MODELS[self._config.method](self._config, self._config.phase_of(step))
        hole_key, *_ = step_lib.keys(model, state)
        known = jax.jit(self._hiding.sample, static_argnums=2)(self._hiding.bank, hole_key, len(images))
        images = jax.jit(lambda x: x, out_shardings=everywhere)(images)  # from all processes
        if jax.process_index() != 0:
            return
        arrays = {"images": np.asarray(images), "known": np.asarray(known, np.uint8)}
        arrays |= {name: np.asarray(leaf) for name, leaf in named(state_lib.items(state)["params"]).items()}
        about = {
            "config": config_lib.to_dict(self._config), "step": step, "terms": {k: str(v) for k, v in terms.items()},
            "ids": pipeline.ids(self._source, self._config, step - 1),
        }  # fmt: skip
        self._folder.mkdir(exist_ok=True)
        write_whole(path, safetensors.numpy.save(arrays, metadata={"mai_jax": json.dumps(about)}))
        for old in sorted(self._folder.glob("*.safetensors"), key=lambda file: int(file.stem))[:-KEPT]:
            old.unlink()


def describe(step: int, terms: dict[str, float]) -> str:
    """One line that names a term that is not finite, a gradient only if all terms are."""
    names = sorted((name for name, value in terms.items() if not math.isfinite(value)),
                   key=lambda name: name.endswith("gradient_norm"))  # fmt: skip
    return f"step {step}: {names[0]} is {terms[names[0]]}"


def named(tree: Any) -> dict[str, Any]:
    """The leaves of a pytree by their path in it."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
