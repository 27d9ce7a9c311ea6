"""FID, the Fréchet inception distance of Heusel et al. 2017, with the network and the resizing of pytorch-fid:

    |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)

for the mean m and the covariance S (divided by n - 1) of the features of two sets of images. The features are computed
in float32 on the device, everything else in float64 on the host.
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

from mai_jax.errors import InputError
from mai_jax.files import write_atomically
from mai_jax.nn import inception

log = logging.getLogger(__name__)

Images = Float[Array | np.ndarray, "b h w 3"]
Levels = UInt8[np.ndarray, "_ _ _ 3"]

CHUNK = 2048  # feature vectors that are collected before they are merged into the statistics
FORMAT = "mai_jax FID statistics 1"  # part of the cache key: increase the number when the computation changes


class Statistics(NamedTuple):
    """Statistics of the features of a set of images. `scatter` is the covariance times (count - 1)."""

    count: int  # type: ignore[assignment]  # hides tuple.count
    mean: Float64[np.ndarray, "d"]
    scatter: Float64[np.ndarray, "d d"]


def features(params: dict[str, Any], images: Images) -> Float[Array, "b 2048"]:
    """Return the pooled features of images in [0, 1] of any size, sharded like the batch.

    `params` are those of `nn.inception.load`.
    """
    return _features_of_299(params, _resize(images))  # two programs: the network is compiled once for all image sizes


@jax.jit
def _resize(images: Images) -> Float[Array, "b 299 299 3"]:
    """Resize bilinearly between pixel centres without antialiasing, as PyTorch's `interpolate`."""
    shape = (images.shape[0], inception.SIZE, inception.SIZE, 3)
    return jax.image.resize(images, shape, "linear", antialias=False)


@jax.jit
def _features_of_299(params: dict[str, Any], images: Images) -> Float[Array, "b 2048"]:
    with jax.default_matmul_precision("highest"):  # the default on accelerators rounds to 8 or 10 bits
        return inception.Inception().apply({"params": params}, 2 * images - 1)  # type: ignore[return-value]


def describe(vectors: Float[Array | np.ndarray, "n d"]) -> Statistics:
    """Return the statistics of feature vectors, one row per image."""
    vectors = np.asarray(vectors, np.float64)
    mean = vectors.mean(axis=0)
    return Statistics(len(vectors), mean, (vectors - mean).T @ (vectors - mean))


def merge(a: Statistics, b: Statistics) -> Statistics:
    """Return the statistics of the union of two sets (Chan, Golub and LeVeque 1983)."""
    count = a.count + b.count
    delta = b.mean - a.mean
    scatter = a.scatter + b.scatter + np.outer(delta, delta) * (a.count * b.count / count)
    return Statistics(count, a.mean + delta * (b.count / count), scatter)


def statistics(params: dict[str, Any], batches: Iterable[Levels]) -> Statistics:
    """Return the statistics of uint8 images; each batch is sharded over the local devices.

    Raises InputError if there is no image.
    """
    dims = inception.FEATURES
    total, pending = Statistics(0, np.zeros(dims), np.zeros((dims, dims))), []
    for vectors in _features_of_levels(params, batches):
        pending.append(vectors)
        if sum(map(len, pending)) >= CHUNK:
            total, pending = merge(total, describe(np.concatenate(pending))), []
    if pending:
        total = merge(total, describe(np.concatenate(pending)))
    if not total.count:
        raise InputError("FID: there are no images to compute statistics of")
    return total


def _features_of_levels(params: dict[str, Any], batches: Iterable[Levels]) -> Iterator[Float[np.ndarray, "_ 2048"]]:
    """Yield the features of each batch; the next batch is dispatched before the last one is fetched.

    A batch smaller than an earlier one is padded, so that the network is not compiled for its size.
    """
    devices = jax.local_devices()
    mesh = Mesh(np.array(devices), ("data",))
    params = jax.device_put(params, NamedSharding(mesh, PartitionSpec()))
    size, running = 0, None
    for batch in batches:
        size = max(size, -(-len(batch) // len(devices)) * len(devices))
        padded = np.concatenate([batch, np.zeros((size - len(batch), *batch.shape[1:]), np.uint8)])
        images = jax.device_put(padded, NamedSharding(mesh, PartitionSpec("data"))) / np.float32(255)
        vectors = features(params, images)[: len(batch)]
        if running is not None:
            yield np.asarray(running)
        running = vectors
    if running is not None:
        yield np.asarray(running)


def distance(a: Statistics, b: Statistics) -> float:
    """Return the FID, at least 0. Only values of sets of equal size are comparable: the bias depends on the size.

    With S1 = F1 F1' and S2 = F2 F2', the trace of (S1 S2)^(1/2) is the sum of the singular values of F1' F2. Unlike a
    matrix square root of S1 S2, this works for singular covariances and never takes the root of a rounding error.
    Raises InputError if a set has fewer than two images.
    """
    for side in (a, b):
        if side.count < 2:
            raise InputError(f"FID: a set of {side.count} has no covariance: give at least 2 images, better thousands")
    if min(a.count, b.count) <= a.mean.size:
        log.warning("FID of %d images against %d: with no more images than features (%d) it is biased upwards; "
                    "compare only values of equal numbers of images", a.count, b.count, a.mean.size)
    traces = sum(np.trace(side.scatter) / (side.count - 1) for side in (a, b))
    overlap = np.linalg.svd(_factor(a).T @ _factor(b), compute_uv=False).sum()
    return float(max(np.sum((a.mean - b.mean) ** 2) + traces - 2 * overlap, 0))  # rounding errors may make it negative


def _factor(side: Statistics) -> Float64[np.ndarray, "d r"]:
    """Return F with F F' = the covariance, one column per eigenvalue above the rounding error."""
    values, vectors = np.linalg.eigh(side.scatter / (side.count - 1))
    kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
    return vectors[:, kept] * np.sqrt(values[kept])


def cached_statistics(
    folder: Path, params: dict[str, Any], open_batches: Callable[[], Iterable[Levels]]
) -> Statistics:
    """Return `statistics`, cached in a file of `folder` whose name is a hash of the weights and all pixels.

    `open_batches` is called once to hash the pixels and, if there is no such file, again to compute the statistics. The
    grouping of images into batches does not matter. Raises InputError if the file is damaged.
    """
    path = folder / f"fid_{_hash(params, open_batches())}.npz"
    if path.exists():
        return _read(path)
    computed = statistics(params, open_batches())
    packed = io.BytesIO()
    np.savez(packed, **computed._asdict())
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, packed.getvalue())
    return computed


def _hash(params: dict[str, Any], batches: Iterable[Levels]) -> str:
    digest = hashlib.sha256(FORMAT.encode())
    for name, leaf in jax.tree_util.tree_leaves_with_path(params):
        digest.update(f"{jax.tree_util.keystr(name)}{leaf.shape}{leaf.dtype}".encode())
        digest.update(np.asarray(leaf).tobytes())
    for batch in batches:
        for image in batch:
            digest.update(str(image.shape).encode())
            digest.update(image.tobytes())
    return digest.hexdigest()


def _read(path: Path) -> Statistics:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            return Statistics(int(arrays["count"]), arrays["mean"], arrays["scatter"])
    except Exception as error:  # a wrong byte in a zip file raises one of several unrelated types
        raise InputError(f"{path}: damaged ({error}); delete it, then it is computed again") from error
