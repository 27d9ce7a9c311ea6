"""Checkpoints: Orbax writes them atomically, a checksum per array finds what a disk or a copy did to them.

`DIR/checkpoints/STEP/` holds the items "params" (parameters and statistics), "opt" (what only training needs) and
"meta" (JSON: config, data position, and shape, type and CRC-32 of every array, and its own). Reading needs no training
code.
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
from mai_jax.types import InputError, RunError

FOLDER = "checkpoints"
MARGIN = 64 * 2**20  # bytes left free beside a checkpoint


class Writer:
    """Saves in the background; `close` (or leaving the context) waits until all is on disk."""

    def __init__(self, workdir: Path, *, keep: int) -> None:
        self.folder = (workdir / FOLDER).absolute()
        # Orbax would write root metadata and remove unfinished saves in threads that nothing waits for, and that end in
        # a traceback when the run does soon after.
        _hush_late_reports()
        if jax.process_index() == 0:
            for unfinished in self.folder.glob("*.orbax-checkpoint-tmp*"):
                shutil.rmtree(unfinished)
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, save_root_metadata=False)
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *exception: object) -> None:
        with self._room():
            self._manager.close()

    def save(self, step: int, items: dict[str, Any], meta: dict[str, Any]) -> None:
        """Starts to save `items` (pytrees of arrays) and `meta` (JSON). Raises RunError when the disk is full."""
        arrays = {item: _describe(tree) for item, tree in items.items()}
        need = sum(leaf["bytes"] for leaves in arrays.values() for leaf in leaves.values()) + MARGIN
        free = shutil.disk_usage(self.folder).free
        if free < need:
            raise _disk_full(self.folder, f"a checkpoint needs {need / 2**20:.0f} MiB, {free / 2**20:.0f} MiB are free")
        saves = {item: ocp.args.StandardSave(tree) for item, tree in items.items()}
        about = {**meta, "step": step, "arrays": arrays}
        saves["meta"] = ocp.args.JsonSave({**about, "checksum": _checksum(about)})
        with self._room():
            self._manager.save(step, args=ocp.args.Composite(**saves))

    def wait(self) -> None:
        """Returns once every checkpoint is whole on disk."""
        with self._room():
            self._manager.wait_until_finished()

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # TensorStore raises the latter, at whatever call comes next
            if os.strerror(errno.ENOSPC) not in str(error):
                raise
            raise _disk_full(self.folder, "while a checkpoint was being written") from error


class Reader:
    """One checkpoint of a run: the newest, or that of `step`.

    Raises InputError if there is none, or if it is incomplete or not ours; a damaged one is never passed over silently.
    """

    def __init__(self, workdir: Path, step: int | None = None) -> None:
        folder = workdir / FOLDER
        if not workdir.is_dir():
            raise InputError(f"{workdir}: no such folder; give the folder that training wrote (--workdir)")
        found = steps(workdir)
        if not found:
            raise InputError(f"{workdir}: holds no checkpoint ({folder}/STEP); give the folder that training wrote")
        if step is not None and step not in found:
            raise InputError(f"{workdir}: has no checkpoint of step {step}; it has {', '.join(map(str, found))}")
        self.step = found[-1] if step is None else step
        self.path = (folder / str(self.step)).absolute()
        _hush_late_reports()
        self.meta = self._read_meta()
        try:
            self.config: Config = config_lib.from_dict(self.meta["config"])
            config_lib.check(self.config)
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from error

    def read(self, item: str, like: Any) -> Any:
        """The pytree saved as `item`, as NumPy arrays in the structure of `like`, checked bit for bit.

        `like` may be abstract; names, shapes and types must be those that were saved.
        """
        saved, wanted = self.meta["arrays"].get(item, {}), _forms(like)
        for name in sorted(saved.keys() | wanted.keys()):
            there, here = _form(saved.get(name)), _form(wanted.get(name))
            if there != here:
                raise InputError(f"{self.path}: not a checkpoint of this model: {item}{name} is {there} there and "
                                 f"{here} here; use the version of mai_jax that wrote it")
        try:
            target = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), like)
            tree = ocp.StandardCheckpointer().restore(self.path / item, target)
        except Exception as error:  # Orbax and TensorStore raise bare exceptions on damaged files
            raise self._damaged(f"{item} cannot be read") from error
        for name, now in _describe(tree).items():
            if now["crc32"] != saved[name]["crc32"]:
                raise self._damaged(f"the checksum of {item}{name} differs")
        return tree

    def _read_meta(self) -> dict[str, Any]:
        if odd := [path for path in self.path.rglob("*") if not (path.is_file() or path.is_dir())]:
            raise self._damaged(f"{odd[0].name} is no file")  # a pipe, of which a reader would wait for ever
        try:
            meta = ocp.Checkpointer(ocp.JsonCheckpointHandler()).restore(self.path / "meta")
            for entry in [entry for leaves in meta["arrays"].values() for entry in leaves.values()]:
                _form(entry), entry["crc32"]
            checksum = meta.pop("checksum", None)
            about = {"config": meta["config"], **meta}
        except Exception as error:  # missing, empty or garbled: all mean the same to the user
            raise self._damaged("it is incomplete, or mai_jax did not write it") from error
        if checksum not in (None, _checksum(about)):  # there was none once
            raise self._damaged("the checksum of meta differs")
        return about

    def _damaged(self, what: str) -> InputError:
        earlier = [step for step in steps(self.path.parent.parent) if step < self.step]
        after = f"and goes on from step {earlier[-1]}" if earlier else "(it is the only one: training would start anew)"
        aside = self.path.parent.parent / f"damaged-{self.step}"
        return InputError(f"{self.path}: damaged checkpoint: {what}; "
                          f"`mv '{self.path}' '{aside}'` sets it aside, then the same command works {after}")


def steps(workdir: Path) -> list[int]:
    """The steps of which the folder holds a checkpoint, rising. Unfinished saves do not count."""
    folder = workdir / FOLDER
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal()) if folder.is_dir() else []


def _disk_full(folder: Path, what: str) -> RunError:
    return RunError(f"{folder}: no space left on disk: {what}; the checkpoints there are whole: "
                    "free some space and start the same command again")


@functools.cache
def _hush_late_reports() -> None:
    """After a failure TensorStore's threads still report, to nobody: that would be shown as tracebacks."""
    logging.getLogger("asyncio").addFilter(lambda record: "exception was never retrieved" not in record.getMessage())
    show = sys.unraisablehook
    sys.unraisablehook = lambda what: None if str(what.exc_value) == "Event loop is closed" else show(what)


def _checksum(about: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(about, sort_keys=True).encode())


def _forms(tree: Any) -> dict[str, dict[str, Any]]:
    """Shape and type of each array, by its path in the tree."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): {"shape": list(x.shape), "dtype": str(x.dtype)} for path, x in leaves}


def _form(entry: dict[str, Any] | None) -> str:
    return f"{entry['dtype']}{entry['shape']}" if entry else "missing"


def _describe(tree: Any) -> dict[str, dict[str, Any]]:
    """`_forms` with the size and the checksum of each array."""
    described = _forms(tree)
    for leaf, entry in zip(jax.tree.leaves(tree), described.values(), strict=True):
        data = np.ascontiguousarray(leaf)
        entry |= {"bytes": data.nbytes, "crc32": zlib.crc32(data)}
    return described
