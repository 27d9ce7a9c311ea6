"""Bootstrap confidence intervals of means over images, and paired comparisons of two methods.

The bootstrap resamples images, not records, because several holes in one image are not independent. An infinite value
(the PSNR of an identical image) makes its mean infinite, and the ends of the interval if enough resamples contain one.
Undefined results are None, never NaN.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from mai_jax.errors import InputError

Key = tuple[str, Hashable]  # the id of an image, and of a hole in it
Interval = tuple[float, float]

MAX_INDICES = 2_000_000  # in memory while resampling


class Paired(NamedTuple):
    """A comparison of methods a and b: the mean of a - b with its interval, and the share of pairs that a wins.

    A tie counts as half a win. The difference of equal values, also infinite ones, is 0. `difference` and `won` are
    None without pairs; `difference` is None also if some pairs differ by +inf and others by -inf.
    """

    pairs: int
    difference: float | None
    interval: Interval | None
    won: float | None


def interval(
    values: Sequence[float] | Float[np.ndarray, "n"], ids: Sequence[str] | None = None, *,
    level: float = 0.95, seed: int = 0, resamples: int = 2000,
) -> Interval | None:
    """Return the percentile bootstrap interval of the mean; it is deterministic.

    `ids` names the image of each value; by default each value has its own image. The interval is None for fewer than
    two images, which have no spread, and if the mean is +inf - inf. Raises ValueError for NaN.
    """
    values = np.asarray(values, np.float64)
    if np.isnan(values).any():
        raise ValueError("a mean of NaN has no interval")
    image = np.arange(len(values)) if ids is None else np.unique(np.asarray(ids), return_inverse=True)[1]
    images = int(image.max(initial=-1)) + 1
    if images < 2 or _has_opposite_infinities(values):
        return None
    means = _resampled_means(values, image, images, np.random.default_rng(seed), resamples)
    # The nearest value, because interpolation between infinite values is NaN.
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], method="nearest")
    return float(low), float(high)


def paired(
    a: Mapping[Key, float], b: Mapping[Key, float], *,
    higher_is_better: bool, level: float = 0.95, seed: int = 0, resamples: int = 2000,
) -> Paired:
    """Return the comparison of two methods. Raises InputError if the images and holes are not the same."""
    _check_same_pairs(a, b)
    keys = sorted(a, key=str)
    x, y = (np.array([values[key] for key in keys], np.float64) for values in (a, b))
    if not keys:
        return Paired(0, None, None, None)
    difference = np.subtract(x, y, where=x != y, out=np.zeros_like(x))
    won = np.mean(np.sign(difference if higher_is_better else -difference) / 2 + 0.5)
    mean = None if _has_opposite_infinities(difference) else float(np.mean(difference))
    ids = [image_id for image_id, _ in keys]
    ends = interval(difference, ids, level=level, seed=seed, resamples=resamples)
    return Paired(len(keys), mean, ends, float(won))


def _resampled_means(
    values: Float[np.ndarray, "n"], image: Int[np.ndarray, "n"], images: int, rng: np.random.Generator, resamples: int
) -> Float[np.ndarray, "r"]:
    """Return means over `images` images, drawn with replacement, each with all of its values."""
    total, count = np.bincount(image, values), np.bincount(image)
    means = np.empty(resamples)
    rows = max(1, MAX_INDICES // images)
    for start in range(0, resamples, rows):
        drawn = rng.integers(images, size=(min(rows, resamples - start), images), dtype=np.int32)
        means[start : start + rows] = total[drawn].sum(1) / count[drawn].sum(1)
    return means


def _has_opposite_infinities(values: Float[np.ndarray, "n"]) -> bool:
    return bool(np.any(values == np.inf) and np.any(values == -np.inf))


def _check_same_pairs(a: Mapping[Key, float], b: Mapping[Key, float]) -> None:
    if unmatched := sorted(a.keys() ^ b.keys(), key=str):
        missing = "second" if unmatched[0] in a else "first"
        raise InputError(f"the two methods were not measured on the same images and holes: {len(unmatched)} of them "
                         f"are in one only, such as {unmatched[0]!r}, which the {missing} lacks; measure both on the "
                         "same dataset")
