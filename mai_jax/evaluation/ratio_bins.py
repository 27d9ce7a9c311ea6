"""Bins of hole ratios: half-open intervals (lo, hi] between neighbouring edges.

An edge is the decimal number as written: a hole ratio of exactly three tenths belongs to the bin that ends at 0.3,
independent of float rounding.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction

# Above float64 rounding errors: 1 - 0.7 must not be above 0.3. Below 1 / (1000 pixels), the smallest distance of a hole
# ratio from an edge of three decimals, for images of up to 10^8 pixels.
TOLERANCE = 1e-12


def bin_of(ratio: float, edges: Sequence[float]) -> int | None:
    """Return the i with edges[i] < ratio <= edges[i + 1], or None. `edges` ascend, `ratio` is float64."""
    i = bisect_left([edge + TOLERANCE for edge in edges], ratio) - 1
    return i if 0 <= i < len(edges) - 1 else None


def label(lo: float, hi: float) -> str:
    """Return the name of a bin, such as "(.1,.2]"."""
    return f"({_short(lo)},{_short(hi)}]"


def counts_in_bin(lo: float, hi: float, pixels: int) -> tuple[int, int]:
    """Return the smallest and the largest number of hole pixels of the bin, in an image of `pixels` pixels.

    Raises ValueError if the bin contains no ratio of such an image.
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
