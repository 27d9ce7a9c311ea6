"""The checkpoint with the best validation metric, beside the newest ones."""

import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
from jax.experimental import multihost_utils

from mai_jax import config as config_lib
from mai_jax.config import Config
from mai_jax.errors import InputError
from mai_jax.training import checkpointing
from mai_jax.training.checkpointing import CheckpointReader, CheckpointWriter

FOLDER = "best"  # in a run's folder; like that of a run, so that commands take it as one
HIGHER_IS_BETTER = {"hole_l1": False, "psnr": True, "ssim": True, "lpips": False}  # by name, without "validation/"

log = logging.getLogger(__name__)


class BestCheckpoint:
    """Keeps the best checkpoint by `run.keep_best` in WORKDIR/best, without the optimizer's state.

    Its metric is compared with that of the one already there. Leaving the context waits until it is on disk.
    """

    def __init__(self, config: Config, workdir: Path, *, start: int) -> None:
        """`start` is the step that the run resumes from. Raises InputError if the best checkpoint is damaged."""
        self._metric = config.run.keep_best
        self._folder = workdir / FOLDER
        self._value: float | None = None
        self._writer = None
        if self._metric == "none":
            return
        if (reader := _read(self._folder)) and not _is_of_another_run(reader, config, start):
            validation = reader.meta["validation"]
            self._value = validation["value"] if validation["metric"] == self._metric else None
        elif reader:
            log.info("%s: is removed: it is of later steps under another config", self._folder)
            if jax.process_count() > 1:
                multihost_utils.sync_global_devices("all processes have read it")
            if jax.process_index() == 0:
                shutil.rmtree(self._folder)
        self._writer = CheckpointWriter(self._folder, keep=1)

    def __enter__(self) -> "BestCheckpoint":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._writer is not None:
            self._writer.__exit__(*exception)

    def update(
        self, step: int, scalars: Mapping[str, float], checkpoint: Callable[[], tuple[dict[str, Any], dict[str, Any]]]
    ) -> None:
        """Save the checkpoint, items and description, if its validation metric is the best up to now."""
        if self._writer is None or not self._is_better(value := scalars[f"validation/{self._metric}"]):
            return
        self._value = value
        items, meta = checkpoint()
        del items["opt_state"]
        self._writer.save(step, items, {**meta, "validation": {"metric": self._metric, "value": value}})
        log.info("step %d is the best up to now by validation/%s: %.5g", step, self._metric, value)

    def _is_better(self, value: float) -> bool:
        if self._value is None:
            return value == value  # a metric that is not a number is never the best
        return value > self._value if HIGHER_IS_BETTER[self._metric] else value < self._value


def _read(folder: Path) -> CheckpointReader | None:
    """Return the best checkpoint, or None if there is none. Raises InputError if it is damaged."""
    if not checkpointing.steps(folder):
        return None
    try:
        reader = CheckpointReader(folder)
        reader.meta["validation"]["value"], reader.meta["validation"]["metric"]
    except (InputError, KeyError, TypeError) as error:
        raise InputError(f"{folder}: holds a damaged checkpoint, or one of another program ({error}); remove the "
                         "folder: the next good validation writes it again") from error
    return reader


def _is_of_another_run(reader: CheckpointReader, config: Config, start: int) -> bool:
    """Return whether it is of a step after `start`, which the run will not reach again with the same weights."""
    return reader.step > start and bool(config_lib.differences(reader.config, config))
