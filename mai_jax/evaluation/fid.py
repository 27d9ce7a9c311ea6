"""FID, the Fréchet inception distance of Heusel et al. 2017, with the network and the resizing of pytorch-fid.

    |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)

of mean m and covariance S (divided by n - 1) of the features of two sets of images. The features are float32, computed
on the device; everything that follows is float64 on the host.
"""

import hashlib
import io
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Float64, UInt8

from mai_jax.files import write_whole
from mai_jax.nn import inception
from mai_jax.types import InputError

log = logging.getLogger(__name__)

Images = Float[Array | np.ndarray, "b h w 3"]
Levels = UInt8[np.ndarray, "_ _ _ 3"]

ROWS = 2048  # features that are gathered before they are added to the statistics
FORMAT = "mai_jax FID statistics 1"  # part of a cache file's name: counts up when the arithmetic changes


class Statistics(NamedTuple):
    """Of the features of a set of images. `scatter` is the covariance times (count - 1)."""

    count: int
    mean: Float64[np.ndarray, "d"]
    scatter: Float64[np.ndarray, "d d"]


def features(params: dict[str, Any], images: Images) -> Float[Array, "b 2048"]:
    """Pooled features of images in [0, 1] of any size; where the batch is sharded, so is the work.

    `params` are what `nn.inception.load` returns.
    """
    return _features_of_299(params, _resize(images))  # apart, so that another image size compiles no second network


@jax.jit
def _resize(images: Images) -> Float[Array, "b 299 299 3"]:
    """Bilinear between pixel centres, without smoothing first, as PyTorch's `interpolate`."""
    shape = (images.shape[0], inception.SIZE, inception.SIZE, 3)
    return jax.image.resize(images, shape, "linear", antialias=False)


@jax.jit
def _features_of_299(params: dict[str, Any], images: Images) -> Float[Array, "b 2048"]:
    with jax.default_matmul_precision("highest"):  # accelerators otherwise round the factors to 8 or 10 bits
        return inception.Inception().apply({"params": params}, 2 * images - 1)


def describe(found: Float[Array | np.ndarray, "n d"]) -> Statistics:
    """The statistics of features, one row per image."""
    found = np.asarray(found, np.float64)
    mean = found.mean(axis=0)
    return Statistics(len(found), mean, (found - mean).T @ (found - mean))


def merge(a: Statistics, b: Statistics) -> Statistics:
    """The statistics of both sets together (Chan, Golub and LeVeque 1983): of batches, or of what processes saw."""
    count = a.count + b.count
    step = b.mean - a.mean
    scatter = a.scatter + b.scatter + np.outer(step, step) * (a.count * b.count / count)
    return Statistics(count, a.mean + step * (b.count / count), scatter)


def statistics(params: dict[str, Any], batches: Iterable[Levels]) -> Statistics:
    """The statistics of uint8 images; each batch is split over the devices of this process.

    Raises InputError if there is no image.
    """
    dims = inception.FEATURES
    total, waiting = Statistics(0, np.zeros(dims), np.zeros((dims, dims))), []
    for found in _features_of_levels(params, batches):
        waiting.append(found)
        if sum(map(len, waiting)) >= ROWS:
            total, waiting = merge(total, describe(np.concatenate(waiting))), []
    if waiting:
        total = merge(total, describe(np.concatenate(waiting)))
    if not total.count:
        raise InputError("FID: there are no images to take statistics of")
    return total


def _features_of_levels(params: dict[str, Any], batches: Iterable[Levels]) -> Iterator[Float[np.ndarray, "_ 2048"]]:
    """Batch by batch; the devices work on the next one while the last is fetched.

    A batch smaller than an earlier one is filled up and cut again, so that it compiles no network of its own.
    """
    devices = jax.local_devices()
    mesh = Mesh(np.array(devices), ("data",))
    params = jax.device_put(params, NamedSharding(mesh, PartitionSpec()))
    size, running = 0, None
    for batch in batches:
        size = max(size, -(-len(batch) // len(devices)) * len(devices))
        filled = np.concatenate([batch, np.zeros((size - len(batch), *batch.shape[1:]), np.uint8)])
        images = jax.device_put(filled, NamedSharding(mesh, PartitionSpec("data"))) / np.float32(255)
        found = features(params, images)[: len(batch)]
        if running is not None:
            yield np.asarray(running)
        running = found
    if running is not None:
        yield np.asarray(running)


def distance(a: Statistics, b: Statistics) -> float:
    """FID, 0 or more. Needs two images on each side (InputError); its bias grows as their number falls, so it is
    comparable only between sets of one size.

    With S1 = F1 F1' and S2 = F2 F2', the trace of (S1 S2)^(1/2) is the sum of the singular values of F1' F2. Unlike a
    matrix square root of S1 S2, this needs no regular covariance and takes no root of a rounding error.
    """
    for side in (a, b):
        if side.count < 2:
            raise InputError(f"FID: a set of {side.count} has no covariance: give 2 images or more, better thousands")
    few = min(a.count, b.count)
    if few <= a.mean.size:
        log.warning("warning: FID of %d images against %d: with no more images than features (%d) it is biased "
                    "upwards; compare only numbers of equally many images", a.count, b.count, a.mean.size)
    traces = sum(np.trace(side.scatter) / (side.count - 1) for side in (a, b))
    overlap = np.linalg.svd(_factor(a).T @ _factor(b), compute_uv=False).sum()
    return float(max(np.sum((a.mean - b.mean) ** 2) + traces - 2 * overlap, 0))  # rounding may end below zero


def _factor(side: Statistics) -> Float64[np.ndarray, "d r"]:
    """F with F F' = the covariance, one column per eigenvalue above rounding."""
    values, vectors = np.linalg.eigh(side.scatter / (side.count - 1))
    kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
    return vectors[:, kept] * np.sqrt(values[kept])


def cached_statistics(
    folder: Path, params: dict[str, Any], open_batches: Callable[[], Iterable[Levels]]
) -> Statistics:
    """`statistics`, kept in a file of `folder` that is named after the weights and every pixel.

    `open_batches` is called to read the pixels and, unless the file is there, again to compute. How images are grouped
    into batches makes no difference. Raises InputError for a damaged file.
    """
    path = folder / f"fid_{_content(params, open_batches())}.npz"
    if path.exists():
        return _read(path)
    found = statistics(params, open_batches())
    packed = io.BytesIO()
    np.savez(packed, **found._asdict())
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, packed.getvalue())
    return found


def _content(params: dict[str, Any], batches: Iterable[Levels]) -> str:
    digest = hashlib.sha256(FORMAT.encode())
    for name, leaf in jax.tree_util.tree_leaves_with_path(params):
        digest.update(f"{jax.tree_util.keystr(name)}{leaf.shape}{leaf.dtype}".encode())
        digest.update(np.ascontiguousarray(leaf))
    for batch in batches:
        for image in batch:
            digest.update(str(image.shape).encode())
            digest.update(np.ascontiguousarray(image))
    return digest.hexdigest()


def _read(path: Path) -> Statistics:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as kept:
            return Statistics(int(kept["count"]), kept["mean"], kept["scatter"])
    except Exception as error:  # a wrong byte in a zip file raises any of half a dozen unrelated types
        raise InputError(f"{path}: damaged ({error}); delete it, and it is computed anew") from error
