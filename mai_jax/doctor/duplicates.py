"""Near-duplicate images, found without comparing all pairs.

The hash holds the signs of the 16 x 16 lowest DCT frequencies of the grey image, without those constant along an axis.
Changes of brightness, contrast, size and compression change few of the 256 bits, a different photograph changes about
half of them. If the first words of two hashes, the 8 x 8 lowest frequencies, differ in at most `first` bits, they are
equal in at least one of `first` + 1 parts of the word: sorting by each part in turn makes all such pairs adjacent.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt64
from PIL import Image

SIDE, FREQUENCIES = 32, 16
MIN_CONTRAST = 1.0  # standard deviation in grey levels; images below it have no hash
NONE = np.iinfo(np.int64).max
COSINES = np.cos(np.pi / SIDE * np.arange(1, FREQUENCIES + 1)[:, None] * (np.arange(SIDE) + 0.5))


class Tolerance(NamedTuple):
    """The largest numbers of bits in which the hashes of duplicates differ: in the first word, and in total."""

    first: int
    total: int


EXACT = Tolerance(0, 0)
# No two of 460 different photographs (BSDS and others) are closer than 14 and 89 bits. At half the size, resized to a
# square, in grey, with 1.4 times the contrast, or as JPEG of quality 30, 99 % are within 6 and 48 bits of the original.
NEAR = Tolerance(6, 48)


def perceptual_hash(image: Image.Image) -> UInt64[np.ndarray, "4"] | None:
    """Return the hash of an image of any mode and size, lowest frequencies first; None for one without contrast."""
    grey = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), np.float64)
    if grey.std() < MIN_CONTRAST:
        return None
    positive = COSINES @ grey @ COSINES.T > 0
    half = FREQUENCIES // 2
    quarters = positive.reshape(2, half, 2, half).swapaxes(1, 2)
    return np.packbits(quarters).view(np.uint64)


def earlier_duplicates(hashes: UInt64[np.ndarray, "n w"], tolerance: Tolerance) -> Int[np.ndarray, "n"]:
    """Return, for each hash, the index of an earlier duplicate, or -1.

    It is the first hash that is equal if there is one before it, else the first that is within the tolerance.
    """
    first, group = _groups(hashes)
    duplicate = np.full(len(first), NONE)
    for a, b in _pairs(hashes[first], tolerance):
        np.minimum.at(duplicate, np.maximum(a, b), np.minimum(a, b))
    is_first = first[group] == np.arange(len(hashes))
    return np.where(is_first, _take(first, duplicate)[group], first[group])


def duplicates_in(
    others: UInt64[np.ndarray, "m w"], hashes: UInt64[np.ndarray, "n w"], tolerance: Tolerance
) -> Int[np.ndarray, "n"]:
    """Return, for each hash, the index of the first of `others` that is within the tolerance, or -1."""
    (first_other, _), (first, group) = _groups(others), _groups(hashes)
    duplicate, border = np.full(len(first), NONE), len(first_other)
    for a, b in _pairs(np.concatenate([others[first_other], hashes[first]]), tolerance):
        low, high = np.minimum(a, b), np.maximum(a, b)
        crossing = (low < border) & (high >= border)
        np.minimum.at(duplicate, high[crossing] - border, low[crossing])
    return _take(first_other, duplicate)[group]


def _take(values, indices):
    """Return `values[indices]`, -1 for indices beyond the end."""
    return np.append(values, -1)[np.minimum(indices, len(values))]


def _groups(hashes):
    """Return the index of the first of each distinct hash, ascending, and for every hash its index in that list."""
    _, first, group = np.unique(hashes, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[group.reshape(-1)]


def _pairs(hashes, tolerance) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the indices of all pairs within the tolerance; a pair may be yielded more than once."""
    edges = np.linspace(0, 64, tolerance.first + 2).astype(int)
    for low, high in itertools.pairwise(edges):
        part = (hashes[:, 0] >> np.uint64(low)) & np.uint64(2 ** int(high - low) - 1)
        order = np.argsort(part, kind="stable")
        part, ordered = part[order], hashes[order]
        left, distance = np.arange(len(order)), 0
        while len(left):
            distance += 1
            left = left[left + distance < len(order)]
            left = left[part[left] == part[left + distance]]  # sorted: without a match here there is none further on
            close = left[np.bitwise_count(ordered[left, 0] ^ ordered[left + distance, 0]) <= tolerance.first]
            differing = np.bitwise_count(ordered[close] ^ ordered[close + distance]).sum(1, dtype=int)
            close = close[differing <= tolerance.total]
            yield order[close], order[close + distance]
