"""Weights that others published: fetched once from a pinned place, checked, read tensor by tensor."""

import hashlib
import logging
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from mai_jax.types import InputError


class Pinned(NamedTuple):
    """A file on the Hugging Face hub, and the checksum of the only content that is accepted for it."""

    repo_id: str
    filename: str
    revision: str
    sha256: str


def fetch(pinned: Pinned, kind: str, flag: str) -> Path:
    """The file, from the hub's cache if it is there, checked either way.

    `kind` says in messages what it holds, `flag` which flag takes a file fetched by hand. Raises InputError.
    """
    from huggingface_hub import hf_hub_download

    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # it tells of every retry
    by_hand = f"fetch it by hand and give {flag}=FILE"
    where = f"{pinned.repo_id}/{pinned.filename} at revision {pinned.revision}"
    try:
        path = Path(hf_hub_download(pinned.repo_id, pinned.filename, revision=pinned.revision))
    except Exception as error:  # the hub client raises a dozen unrelated types when there is no network
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"cannot fetch {kind}, {where} ({reason}); {by_hand}") from error
    check(path, pinned.sha256, f"delete it and start again, or {by_hand}")
    return path


def check(path: Path, sha256: str, mend: str) -> None:
    """Raises InputError, ending in `mend`, unless the file's content has this checksum."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise InputError(f"{path}: sha256 is {found}, expected {sha256}; {mend}")


def names(path: Path, kind: str) -> set[str]:
    """The names of the tensors in a .safetensors file. Raises InputError."""
    with _opened(path, kind) as tensors:
        return set(tensors.keys())


def read(path: Path, shapes: Mapping[str, tuple[int, ...]], kind: str) -> dict[str, Float32[np.ndarray, "..."]]:
    """The named tensors of a .safetensors file; others are left alone. `kind` says in messages what they are.

    Raises InputError for a file that is missing or damaged, a tensor that is missing, of another shape or not finite.
    """
    with _opened(path, kind) as tensors:
        there = set(tensors.keys())
        for name, shape in shapes.items():
            if name not in there:
                raise InputError(f"{path}: has no tensor {name}; give {kind}")
            found = tuple(tensors.get_slice(name).get_shape())
            if found != shape:
                raise InputError(f"{path}: {name} has shape {found}, not {shape}; give {kind}")
        values = {name: tensors.get_tensor(name).astype(np.float32) for name in shapes}
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise InputError(f"{path}: {name} holds values that are not finite; give {kind}")
    return values


@contextmanager
def _opened(path: Path, kind: str) -> Any:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError(f"{path}: no such file; give {kind} as .safetensors")
    try:
        with safe_open(path, framework="numpy") as tensors:
            yield tensors
    except SafetensorError as error:
        raise InputError(f"{path}: not a readable .safetensors file ({error}); fetch it again") from error
