"""Checkpoints: written atomically by Orbax, with a checksum per array that detects damage.

`DIR/checkpoints/STEP/` holds the items "params" (params and batch_stats), "opt_state" (needed by training only) and
"meta" (JSON: config, position in the data, shape, type and CRC-32 of every array, CRC-32 of the meta item itself).
"""

import contextlib
import errno
import functools
import json
import logging
import os
import shutil
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from mai_jax import config as config_lib
from mai_jax.config import Config
from mai_jax.errors import InputError, RunError
from mai_jax.files import name_some

FOLDER = "checkpoints"
MARGIN = 64 * 2**20  # bytes that must stay free beside a checkpoint


class CheckpointWriter:
    """Saves checkpoints in the background. Leaving the context waits until all are on disk.

    The newest `keep` stay, and all whose step is a multiple of `keep_every`, unless that is 0.
    """

    def __init__(self, workdir: Path, *, keep: int, keep_every: int = 0) -> None:
        self.folder = (workdir / FOLDER).absolute()
        # Orbax itself would write root metadata and remove unfinished saves in threads that nothing waits for; they
        # end in a traceback if the run ends soon.
        _ignore_background_errors()
        if jax.process_index() == 0:
            for unfinished in self.folder.glob("*.orbax-checkpoint-tmp*"):
                shutil.rmtree(unfinished)
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, keep_period=keep_every or None,
                                               save_root_metadata=False)
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    def __enter__(self) -> "CheckpointWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        with self._disk_full_as_run_error():
            self._manager.close()

    def save(self, step: int, items: dict[str, Any], meta: dict[str, Any]) -> None:
        """Start saving `items` (pytrees of arrays) and `meta` (JSON). Raises RunError if the disk is full."""
        arrays = {item: _describe(tree) for item, tree in items.items()}
        need = sum(leaf["bytes"] for leaves in arrays.values() for leaf in leaves.values()) + MARGIN
        free = shutil.disk_usage(self.folder).free
        if free < need:
            raise _disk_full(self.folder, f"a checkpoint needs {need / 2**20:.0f} MiB, {free / 2**20:.0f} MiB are free")
        saves = {item: ocp.args.StandardSave(tree) for item, tree in items.items()}
        meta = {**meta, "step": step, "arrays": arrays}
        saves["meta"] = ocp.args.JsonSave({**meta, "checksum": _checksum(meta)})
        with self._disk_full_as_run_error():
            self._manager.save(step, args=ocp.args.Composite(**saves))

    def wait(self) -> None:
        """Wait until every checkpoint is complete on disk. Raises RunError if the disk is full."""
        with self._disk_full_as_run_error():
            self._manager.wait_until_finished()

    @contextlib.contextmanager
    def _disk_full_as_run_error(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # TensorStore raises ValueError, in any later call
            if os.strerror(errno.ENOSPC) not in str(error):
                raise
            raise _disk_full(self.folder, "while a checkpoint was being written") from error


class CheckpointReader:
    """A checkpoint of a run: the newest, or that of `step`.

    Raises InputError if there is none, or if it is incomplete, damaged or not written by mai_jax. A damaged checkpoint
    is never skipped silently.
    """

    def __init__(self, workdir: str | Path, step: int | None = None) -> None:
        workdir = Path(workdir)
        folder = workdir / FOLDER
        if not workdir.is_dir():
            raise InputError(f"{workdir}: no such folder; give the folder that training wrote (--workdir)")
        existing = steps(workdir)
        if not existing:
            raise InputError(f"{workdir}: holds no checkpoint ({folder}/STEP); {_nearest_runs(workdir)}")
        if step is not None and step not in existing:
            raise InputError(f"{workdir}: has no checkpoint of step {step}; it has {', '.join(map(str, existing))}")
        self.step = existing[-1] if step is None else step
        self.path = (folder / str(self.step)).absolute()
        _ignore_background_errors()
        self.meta = self._read_meta()
        self.history: list[dict[str, Any]] = self.meta.get("history", [])  # see `continuation`
        try:
            self.config: Config = config_lib.from_dict(self.meta["config"])
            config_lib.check(self.config)
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from error

    def read(self, item: str, like: Any) -> Any:
        """Return the pytree saved as `item`, as NumPy arrays in the structure of `like`, verified by checksum.

        `like` may be abstract. Raises InputError if names, shapes or types differ from those saved, or on damage.
        """
        saved, expected = self.meta["arrays"].get(item, {}), _specs(like)
        for name in sorted(saved.keys() | expected.keys()):
            found, wanted = _format(saved.get(name)), _format(expected.get(name))
            if found != wanted:
                raise InputError(f"{self.path}: not a checkpoint of this model: {item}{name} is {found} there and "
                                 f"{wanted} here; use the version of mai_jax that wrote it")
        try:
            target = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), like)
            tree = ocp.StandardCheckpointer().restore(self.path / item, target)
        except Exception as error:  # Orbax and TensorStore raise bare exceptions on damaged files
            raise self._damaged(f"{item} cannot be read") from error
        for name, restored in _describe(tree).items():
            if restored["crc32"] != saved[name]["crc32"]:
                raise self._damaged(f"the checksum of {item}{name} differs")
        return tree

    def _read_meta(self) -> dict[str, Any]:
        if special := [path for path in self.path.rglob("*") if not (path.is_file() or path.is_dir())]:
            raise self._damaged(f"{special[0].name} is not a file")  # reading a pipe would block
        try:
            meta = ocp.Checkpointer(ocp.JsonCheckpointHandler()).restore(self.path / "meta")
            for entry in [entry for leaves in meta["arrays"].values() for entry in leaves.values()]:
                _format(entry), entry["crc32"]
            checksum = meta.pop("checksum", None)
            meta = {"config": meta["config"], **meta}
        except Exception as error:  # missing, empty or garbled: the same for the user
            raise self._damaged("it is incomplete, or mai_jax did not write it") from error
        if checksum not in (None, _checksum(meta)):  # old checkpoints have no checksum of meta
            raise self._damaged("the checksum of meta differs")
        return meta

    def _damaged(self, reason: str) -> InputError:
        earlier = [step for step in steps(self.path.parent.parent) if step < self.step]
        then = (f"the same command resumes from step {earlier[-1]}" if earlier
                else "training starts from the beginning, because there is no other checkpoint")
        aside = self.path.parent.parent / f"damaged-{self.step}"
        return InputError(f"{self.path}: damaged checkpoint: {reason}; "
                          f"move it away with `mv '{self.path}' '{aside}'`; then {then}")


def steps(workdir: Path) -> list[int]:
    """Return the steps of the checkpoints in `workdir`, ascending, without unfinished saves."""
    folder = workdir / FOLDER
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal()) if folder.is_dir() else []


def _nearest_runs(folder: Path) -> str:
    """Return the advice for a folder without a checkpoint: the runs in it, or the run that it belongs to."""
    inside = [str(path) for path in sorted(folder.iterdir()) if path.is_dir() and steps(path)]
    above = [str(path) for path in folder.absolute().parents[:2] if steps(path)]
    found = inside or above
    return f"did you mean {name_some(found)}?" if found else "give the folder that training wrote"


def _disk_full(folder: Path, reason: str) -> RunError:
    return RunError(f"{folder}: no space left on disk: {reason}; the checkpoints there are complete: "
                    "free some space and start the same command again")


@functools.cache
def _ignore_background_errors() -> None:
    """Hide the tracebacks of TensorStore's threads after an error that has been reported already."""
    logging.getLogger("asyncio").addFilter(lambda record: "exception was never retrieved" not in record.getMessage())
    show = sys.unraisablehook
    sys.unraisablehook = lambda error: None if str(error.exc_value) == "Event loop is closed" else show(error)


def _checksum(meta: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(meta, sort_keys=True).encode())


def _specs(tree: Any) -> dict[str, dict[str, Any]]:
    """Return shape and type of each array, by its path in the tree."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): {"shape": list(x.shape), "dtype": str(x.dtype)} for path, x in leaves}


def _format(spec: dict[str, Any] | None) -> str:
    return f"{spec['dtype']}{spec['shape']}" if spec else "missing"


def _describe(tree: Any) -> dict[str, dict[str, Any]]:
    """Return `_specs` with the size in bytes and the CRC-32 of each array."""
    described = _specs(tree)
    for leaf, entry in zip(jax.tree.leaves(tree), described.values(), strict=True):
        data = np.ascontiguousarray(leaf)
        entry |= {"bytes": data.nbytes, "crc32": zlib.crc32(data)}  # type: ignore[arg-type]
    return described
