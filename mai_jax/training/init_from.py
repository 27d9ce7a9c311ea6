"""Initial parameters and statistics of a run from another run, or from converted weights."""

import logging
from typing import Any

import jax

from mai_jax.errors import InputError
from mai_jax.models import model_class
from mai_jax.models.base import Variables
from mai_jax.training import train_state
from mai_jax.training.checkpointing import CheckpointReader
from mai_jax.training.continuation import StartOptions
from mai_jax.training.packed_model import PackedReader, open_reader

log = logging.getLogger(__name__)


def take(options: StartOptions, initial: Variables) -> tuple[Variables, dict[str, Any]]:
    """Return the variables of the checkpoint that `options.init_from` names, and the entry of the run's history.

    They must have the names, shapes and types of `initial`. With `options.init_partial`, those that differ keep their
    initial values and are listed in the log. Raises InputError for an unusable checkpoint and for variables that do not
    fit, after logging each of them.
    """
    folder, step = split(options.init_from)
    reader = open_reader(folder, step)
    found, wanted = _flat(_read(reader)), _flat(initial)
    formats = {name: (_format(found.get(name)), _format(wanted.get(name))) for name in wanted | found}
    differing = {name: both for name, both in formats.items() if both[0] != both[1]}
    taken = [name for name in wanted if name not in differing]
    for name, (there, here) in differing.items():
        log.info("%s: %s in %s, %s here", name, there, reader.path, here)
    if differing and not options.init_partial:
        raise InputError(f"--init-from={options.init_from}: {len(differing)} arrays differ, as listed above, the first "
                         f"is {_text(*next(iter(differing.items())))}; give the method and the widths of that run, or "
                         "--init-partial to take what fits")
    if not taken:
        raise InputError(f"--init-from={options.init_from}: has no array of the name and shape of one of this run's; "
                         "give another folder, or the method and the widths of that run")
    name = f"{folder}@{reader.step}"
    log.info("%d of %d arrays are initialized from %s", len(taken), len(wanted), name)
    values = [found[name] if name in taken else value for name, value in wanted.items()]
    part = "" if not differing else f" ({len(taken)} of {len(wanted)} arrays)"
    entry = {"step": 0, "changes": [f"initialized from {name}{part}"], "init_from": name}
    return jax.tree.unflatten(jax.tree.structure(initial), values), entry


def check_resumed(options: StartOptions, reader: CheckpointReader) -> None:
    """Raise InputError if `options` names other initial weights than those from which the run of `reader` started."""
    origin = next((entry["init_from"] for entry in reader.history if "init_from" in entry), None)
    if not options.init_from:
        return
    folder, step = split(options.init_from)
    if origin is None or split(origin)[0] != folder or step not in (None, split(origin)[1]):
        raise InputError(f"--init-from={options.init_from}: {reader.path} is of a run that started from "
                         f"{origin or 'random initial parameters'}; leave the flag out to go on with that run, or give "
                         "another --workdir")
    log.info("--init-from=%s: has been taken at step 0 of this run", options.init_from)


def split(name: str) -> tuple[str, int | None]:
    """Return the folder and the step of "DIR@STEP"; the step is None if there is none."""
    folder, at, step = name.rpartition("@")
    return (folder, int(step)) if at and step.isdecimal() else (name, None)


def _read(reader: CheckpointReader | PackedReader) -> Variables:
    try:
        model = model_class(reader.config.method)(reader.config)
    except InputError as error:
        raise InputError(f"{reader.path}: {error}") from error
    return reader.read("params", train_state.variable_shapes(model, reader.config))


def _flat(variables: Variables) -> dict[str, Any]:
    """Return the arrays by names such as "params/generator/encode_1/kernel"."""
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf
            for path, leaf in jax.tree_util.tree_leaves_with_path(variables)}


def _format(array: Any) -> str:
    return "missing" if array is None else f"{array.dtype}{list(array.shape)}"


def _text(name: str, formats: tuple[str, str]) -> str:
    return f"{name} ({formats[0]} there, {formats[1]} here)"
