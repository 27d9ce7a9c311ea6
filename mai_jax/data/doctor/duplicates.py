"""Images that look the same, found among many without comparing all pairs.

The hash is a row of signs: of the 16 x 16 lowest frequencies of the grey image, those along one axis alone left out.
So brightness, contrast, size and compression change few of its 256 bits, another photograph about half of them. Two
hashes whose first words, the 8 x 8 lowest of all, differ in `first` bits are equal in at least one of first + 1 parts
of it: sorting by each part in turn brings all of them together.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt64
from PIL import Image

SIDE, FREQUENCIES = 32, 16
FAINT = 1.0  # standard deviation in grey levels below which there is nothing to recognise
NONE = np.iinfo(np.int64).max
COSINES = np.cos(np.pi / SIDE * np.arange(1, FREQUENCIES + 1)[:, None] * (np.arange(SIDE) + 0.5))


class Likeness(NamedTuple):
    """How many bits may differ between hashes that are taken for the same, in the first word and in all of them."""

    first: int
    total: int


SAME = Likeness(0, 0)
# Of 460 photographs, BSDS and others, no two are closer than 14 and 89. At half the size, squashed to a square, in
# grey, with 1.4 times the contrast, or as JPEG of quality 30, 99 % stay within 6 and 48 of what they were.
NEAR = Likeness(6, 48)


def perceptual_hash(image: Image.Image) -> UInt64[np.ndarray, "4"] | None:
    """The hash of an image of any mode and size, lowest frequencies first; None for one without contrast."""
    grey = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), np.float64)
    if grey.std() < FAINT:
        return None
    positive = COSINES @ grey @ COSINES.T > 0
    half = FREQUENCIES // 2
    quarters = positive.reshape(2, half, 2, half).swapaxes(1, 2)
    return np.packbits(quarters).view(np.uint64)


def earlier_twins(hashes: UInt64[np.ndarray, "n w"], likeness: Likeness) -> Int[np.ndarray, "n"]:
    """For each hash the first one before it that is like it, or -1."""
    first, group = _groups(hashes)
    twin = np.full(len(first), NONE)
    for a, b in _pairs(hashes[first], likeness):
        np.minimum.at(twin, np.maximum(a, b), np.minimum(a, b))
    itself = first[group] == np.arange(len(hashes))
    return np.where(itself, _at(first, twin)[group], first[group])


def twins_in(
    others: UInt64[np.ndarray, "m w"], hashes: UInt64[np.ndarray, "n w"], likeness: Likeness
) -> Int[np.ndarray, "n"]:
    """For each hash the first of `others` that is like it, or -1."""
    (first_other, _), (first, group) = _groups(others), _groups(hashes)
    twin, border = np.full(len(first), NONE), len(first_other)
    for a, b in _pairs(np.concatenate([others[first_other], hashes[first]]), likeness):
        low, high = np.minimum(a, b), np.maximum(a, b)
        crossing = (low < border) & (high >= border)
        np.minimum.at(twin, high[crossing] - border, low[crossing])
    return _at(first_other, twin)[group]


def _at(places, twin):
    return np.append(places, -1)[np.minimum(twin, len(places))]


def _groups(hashes):
    """Index of the first of each distinct hash, rising, and the number in that list of every hash."""
    _, first, group = np.unique(hashes, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[group.reshape(-1)]


def _pairs(hashes, likeness) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Indices of all pairs that are alike; a pair may come more than once."""
    edges = np.linspace(0, 64, likeness.first + 2).astype(int)
    for low, high in itertools.pairwise(edges):
        part = (hashes[:, 0] >> np.uint64(low)) & np.uint64(2 ** int(high - low) - 1)
        order = np.argsort(part, kind="stable")
        part, ordered = part[order], hashes[order]
        left, distance = np.arange(len(order)), 0
        while len(left):
            distance += 1
            left = left[left + distance < len(order)]
            left = left[part[left] == part[left + distance]]  # sorted: who has no partner now has none further on
            alike = left[np.bitwise_count(ordered[left, 0] ^ ordered[left + distance, 0]) <= likeness.first]
            differ = np.bitwise_count(ordered[alike] ^ ordered[alike + distance]).sum(1, dtype=int)
            alike = alike[differ <= likeness.total]
            yield order[alike], order[alike + distance]
