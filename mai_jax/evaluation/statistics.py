"""How far a mean over images can be trusted, and whether one method is better than another on the same images.

Resampling draws photographs, not records: several holes in one photograph are no independent evidence. An infinite
value (the PSNR of an image that was restored exactly) makes its mean infinite, and the interval's ends where enough of
the resamples hold one. What the data cannot tell is None, never NaN.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from mai_jax.types import InputError

Key = tuple[str, Hashable]  # a photograph's id, and which of its holes
Interval = tuple[float, float]

DRAWS_AT_ONCE = 2_000_000  # numbers in memory while resampling


class Paired(NamedTuple):
    """Method a against method b: the mean of a - b with its interval, and the share of pairs that a wins, a tie a half.

    A pair of equal values, infinite ones too, differs by 0. `difference` and `won` are None without pairs, and
    `difference` also if some pairs differ by +inf and others by -inf.
    """

    pairs: int
    difference: float | None
    interval: Interval | None
    won: float | None


def interval(
    values: Sequence[float] | Float[np.ndarray, "n"], ids: Sequence[str] | None = None, *,
    level: float = 0.95, seed: int = 0, resamples: int = 2000,
) -> Interval | None:
    """The percentile bootstrap interval of the mean; the same numbers give the same interval.

    `ids` names the photograph of each value, by default another one each. None for less than two photographs, which say
    nothing about the spread, and where the mean is +inf - inf. Raises ValueError for NaN.
    """
    values = np.asarray(values, np.float64)
    if np.isnan(values).any():
        raise ValueError("a mean of NaN has no interval")
    photo = np.arange(len(values)) if ids is None else np.unique(np.asarray(ids), return_inverse=True)[1]
    photos = int(photo.max(initial=-1)) + 1
    if photos < 2 or _opposed(values):
        return None
    means = _resampled_means(values, photo, photos, np.random.default_rng(seed), resamples)
    # Of the values themselves: interpolation between infinite ones is NaN.
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], method="nearest")
    return float(low), float(high)


def paired(
    a: Mapping[Key, float], b: Mapping[Key, float], *,
    higher_is_better: bool, level: float = 0.95, seed: int = 0, resamples: int = 2000,
) -> Paired:
    """Two methods on the same photographs and holes. Raises InputError if they were not measured on the same."""
    _refuse_unpaired(a, b)
    keys = sorted(a, key=str)
    x, y = (np.array([values[key] for key in keys], np.float64) for values in (a, b))
    if not keys:
        return Paired(0, None, None, None)
    difference = np.subtract(x, y, where=x != y, out=np.zeros_like(x))
    won = np.mean(np.sign(difference if higher_is_better else -difference) / 2 + 0.5)
    mean = None if _opposed(difference) else float(np.mean(difference))
    ids = [photograph for photograph, _ in keys]
    spread = interval(difference, ids, level=level, seed=seed, resamples=resamples)
    return Paired(len(keys), mean, spread, float(won))


def _resampled_means(
    values: Float[np.ndarray, "n"], photo: Int[np.ndarray, "n"], photos: int, rng: np.random.Generator, resamples: int
) -> Float[np.ndarray, "r"]:
    """Means over as many photographs as there are, drawn with replacement; each brings all of its values."""
    total, count = np.bincount(photo, values), np.bincount(photo)
    means = np.empty(resamples)
    rows = max(1, DRAWS_AT_ONCE // photos)
    for start in range(0, resamples, rows):
        drawn = rng.integers(photos, size=(min(rows, resamples - start), photos), dtype=np.int32)
        means[start : start + rows] = total[drawn].sum(1) / count[drawn].sum(1)
    return means


def _opposed(values: Float[np.ndarray, "n"]) -> bool:
    return bool(np.any(values == np.inf) and np.any(values == -np.inf))


def _refuse_unpaired(a: Mapping[Key, float], b: Mapping[Key, float]) -> None:
    lonely = sorted(a.keys() ^ b.keys(), key=str)
    if lonely:
        missing = "second" if lonely[0] in a else "first"
        raise InputError(f"the two methods were not measured on the same images and holes: {len(lonely)} of them are "
                         f"with one only, such as {lonely[0]!r}, which the {missing} lacks; measure both on one list")
