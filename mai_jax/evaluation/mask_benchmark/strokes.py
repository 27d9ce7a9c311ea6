"""Irregular holes that are identical on every machine: integer arithmetic, random bits from SHAKE-256.

A pen moves over the image with slowly varying direction and width. After a certain length it is lifted and starts again
at a random pixel that is not hole yet. Discs are drawn along its path until the requested number of pixels is hole, so
the hole ratio is exact. The holes resemble those of `data.strokes`, whose floats may differ between devices.

Lengths in this file are in UNITs, 64 per pixel, unless stated otherwise.
"""

import math
import struct
from collections.abc import Iterator
from hashlib import shake_256
from itertools import count
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

VERSION = 1  # of the holes: increase it with any change of a pixel

UNIT = 64
ONE = 4096  # fixed-point one: norm of a direction vector; period of a phase
BASE_WIDTH, WIDTH_SLOPE = 35, 80  # mean pen width: BASE_WIDTH + WIDTH_SLOPE * ratio, in thousandths of the image side
MIN_LENGTH, MAX_LENGTH = 600, 1400  # of a stroke in thousandths of the side, drawn once per hole
TURN2 = 12  # maximum squared turn of the pen: TURN2 * step / side, so about 2 radians after one side
WAVES_PER_4 = 5  # periods of the width over a length of four sides
OUTSIDE = 40  # thousandths of the side by which the pen may leave the image


class Disc(NamedTuple):
    """Centre and radius in UNITs."""

    y: int
    x: int
    radius: int


def draw(name: str, size: int, pixels: int, margin: int) -> Bool[np.ndarray, "size size"]:
    """Return the hole determined by `name`: True at exactly `pixels` pixels, none within `margin` pixels of the border.

    With margin 0 the hole touches the border, where its first stroke starts. Raises ValueError if `pixels` is not
    possible.
    """
    if not 0 < pixels <= (size - 2 * margin) ** 2:
        raise ValueError(f"no hole of {pixels} pixels fits into {size} x {size} with a margin of {margin}")
    bits = _bits(name)
    area = np.zeros((size - 2 * margin,) * 2, bool)
    side = size * UNIT
    radius = side * (BASE_WIDTH * size**2 + WIDTH_SLOPE * pixels) // (2000 * size**2)
    length = side * (MIN_LENGTH + _below(bits, MAX_LENGTH - MIN_LENGTH)) // 1000
    start = _border_pixel(bits, size) if margin == 0 else _free_pixel(bits, area)
    while True:
        for disc in _stroke(bits, start, length, radius, side, margin * UNIT):
            pixels -= _stamp(area, disc, pixels)
            if pixels == 0:
                return np.pad(area, margin)
        start = _free_pixel(bits, area)


def _stroke(
    bits: Iterator[int], start: tuple[int, int], length: int, radius: int, side: int, margin: int
) -> Iterator[Disc]:
    """Yield discs, a quarter of the pen width apart, along one stroke in a square area of side - 2 * margin."""
    area = side - 2 * margin
    # Beyond these limits the pen turns back. With a margin they leave room for its maximum width.
    low = radius * 3 // 2 if margin else -side * OUTSIDE // 1000
    high = area - low
    y, x = (UNIT * i + UNIT // 2 for i in start)
    heading_y, heading_x = _unit(*_point(bits))
    phase, travelled = _below(bits, ONE), 0
    while travelled < length:
        current = radius * (2 * ONE + _wave(phase)) // (2 * ONE)
        if margin:  # the pen gets thinner near the margin, so that no outline is cut off straight
            current = min(current, y, x, area - y, area - x)
        yield Disc(y, x, current)
        step = max(current, UNIT) // 2
        max_turn = math.isqrt(TURN2 * step * ONE**2 // side)
        turn = _below(bits, 2 * max_turn + 1) - max_turn
        heading_y, heading_x = _unit(heading_y * ONE + heading_x * turn, heading_x * ONE - heading_y * turn)
        y, x = y + heading_y * step // ONE, x + heading_x * step // ONE
        heading_y, heading_x = _inward(y, heading_y, low, high), _inward(x, heading_x, low, high)
        phase += ONE * WAVES_PER_4 * step // (4 * side)
        travelled += step


def _stamp(area: Bool[np.ndarray, "n n"], disc: Disc, missing: int) -> int:
    """Mark the pixels of the disc as hole, at most the `missing` innermost new ones; return the number of new ones."""
    y, x, radius = disc
    rows, columns = (range(max(0, (z - radius) // UNIT), max(0, min(len(area), (z + radius) // UNIT + 1)))
                     for z in (y, x))
    dy, dx = ((np.array(pixels, np.int64) * UNIT + UNIT // 2 - z) ** 2 for pixels, z in ((rows, y), (columns, x)))
    distance2 = dy[:, None] + dx
    window = area[rows.start:rows.stop, columns.start:columns.stop]
    new = np.flatnonzero((distance2 <= radius**2) & ~window)
    if len(new) > missing:
        new = new[np.argsort(distance2.flat[new], kind="stable")[:missing]]
    window[np.unravel_index(new, window.shape)] = True
    return len(new)


def _bits(name: str) -> Iterator[int]:
    """Yield random 32-bit integers that depend on `name` only."""
    for block in count():
        yield from struct.unpack("<1024I", shake_256(f"{name}, block {block}".encode()).digest(4096))


def _below(bits: Iterator[int], n: int) -> int:
    """Return a random integer in [0, n)."""
    return next(bits) * n >> 32


def _point(bits: Iterator[int]) -> tuple[int, int]:
    """Return a uniform random point in a disc, except its centre, as a random direction."""
    while True:
        y, x = _below(bits, 2 * ONE + 1) - ONE, _below(bits, 2 * ONE + 1) - ONE
        if 0 < y * y + x * x <= ONE**2:
            return y, x


def _border_pixel(bits: Iterator[int], size: int) -> tuple[int, int]:
    edge, along = _below(bits, 4), _below(bits, size)
    return ((0, along), (along, 0), (size - 1, along), (along, size - 1))[edge]


def _free_pixel(bits: Iterator[int], area: Bool[np.ndarray, "n n"]) -> tuple[int, int]:
    free = np.flatnonzero(~area)
    return divmod(int(free[_below(bits, len(free))]), len(area))


def _unit(y: int, x: int) -> tuple[int, int]:
    """Return the direction of a vector, with norm ONE."""
    length = math.isqrt(y * y + x * x)
    return y * ONE // length, x * ONE // length


def _inward(position: int, heading: int, low: int, high: int) -> int:
    """Return the heading along one axis, reversed towards the inside if the position is beyond a limit."""
    return abs(heading) if position < low else -abs(heading) if position > high else heading


def _wave(phase: int) -> int:
    """Return a sine approximated by two parabolas: 0, ONE, 0, -ONE at the quarters of a period."""
    z = phase % ONE - ONE // 2
    return 16 * z * (ONE // 2 - abs(z)) // ONE
