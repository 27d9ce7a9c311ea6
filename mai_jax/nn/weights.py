"""Published weights: fetched once at a pinned revision, verified by checksum, read tensor by tensor."""

import hashlib
import logging
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from mai_jax.errors import InputError


class Pinned(NamedTuple):
    """A file on the Hugging Face hub at one revision, with the checksum of its content."""

    repo_id: str
    filename: str
    revision: str
    sha256: str


def fetch(pinned: Pinned, kind: str, flag: str, alternative: str = "") -> Path:
    """Return the path of the file in the hub's cache, after a download if it is not there; verify its checksum.

    Error messages name `kind`, the content of the file, `flag`, which takes a file fetched by hand, and `alternative`,
    another remedy without a network, if there is one.

    Raises InputError if the file cannot be fetched or has another checksum.
    """
    from huggingface_hub import hf_hub_download

    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # it logs every retry
    by_hand = f"fetch it by hand and give {flag}=FILE" + (f", or {alternative}" if alternative else "")
    where = f"{pinned.repo_id}/{pinned.filename} at revision {pinned.revision}"
    try:
        path = Path(hf_hub_download(pinned.repo_id, pinned.filename, revision=pinned.revision))
    except Exception as error:  # without a network, the hub client raises exceptions of many unrelated types
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"cannot fetch {kind}, {where} ({reason}); {by_hand}") from error
    check(path, pinned.sha256, f"delete it and run again, or {by_hand}")
    return path


def check(path: Path, sha256: str, fix: str) -> None:
    """Raise InputError if the file's content has another checksum. The message ends with `fix`."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise InputError(f"{path}: sha256 is {found}, expected {sha256}; {fix}")


def names(path: Path, kind: str) -> set[str]:
    """Return the names of the tensors in a .safetensors file.

    Raises InputError if the file is missing or damaged; the message names `kind`, the expected content.
    """
    with _opened(path, kind) as tensors:
        return set(tensors.keys())


def read(path: Path, shapes: Mapping[str, tuple[int, ...]], kind: str) -> dict[str, Float32[np.ndarray, "..."]]:
    """Return the tensors named in `shapes` from a .safetensors file, as float32; other tensors are ignored.

    Raises InputError if the file is missing or damaged, or if a tensor is missing, has another shape or is not finite;
    the message names `kind`, the expected content.
    """
    with _opened(path, kind) as tensors:
        present = set(tensors.keys())
        for name, shape in shapes.items():
            if name not in present:
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
