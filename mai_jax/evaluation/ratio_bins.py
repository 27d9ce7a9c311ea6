"""Bins of images by the share that is hole: (lo, hi] between neighbouring edges, everywhere.

An edge is the decimal number that it is written as: a hole of exactly three tenths belongs to the bin that ends at 0.3,
whatever the last bits of the floats say.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction

# Above float64 rounding: 1 - 0.7 must not lie above 0.3. Below 1 / (1000 pixels), the least by which a count of pixels,
# as a share, can miss an edge of three decimals, for images of up to 10^8 pixels.
SLACK = 1e-12


def bin_of(ratio: float, edges: Sequence[float]) -> int | None:
    """The i with edges[i] < ratio <= edges[i + 1], or None outside all bins. `edges` rise, `ratio` is float64."""
    place = bisect_left([edge + SLACK for edge in edges], ratio) - 1
    return place if 0 <= place < len(edges) - 1 else None


def label(lo: float, hi: float) -> str:
    """A bin's name, as in "(.1,.2]"."""
    return f"({_short(lo)},{_short(hi)}]"


def counts_in_bin(lo: float, hi: float, pixels: int) -> tuple[int, int]:
    """The smallest and the largest number of hole pixels with which an image of `pixels` pixels falls into the bin.

    Raises ValueError if there is none.
    """
    smallest = math.floor(_decimal(lo) * pixels) + 1
    largest = math.floor(_decimal(hi) * pixels)
    if smallest > largest:
        raise ValueError(f"no hole in an image of {pixels} pixels has a share in {label(lo, hi)}: use wider bins")
    return smallest, largest


def _decimal(edge: float) -> Fraction:
    return Fraction(str(edge))


def _short(edge: float) -> str:
    return f"{edge:g}".lstrip("0") or "0"
