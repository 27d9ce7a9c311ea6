"""Irregular holes that are the same on every machine: whole numbers throughout, random bits from SHAKE-256.

A pen walks over the image, turning slowly, changing its width, and is lifted now and then; it is put down again where
nothing is hole yet. Discs are stamped along its way until the wanted number of pixels is hole; so every hole comes to
an end and has exactly its share. The look is that of `data.hole_generator`, whose floats may differ between devices.

Lengths in this file are in UNITs, of which a pixel has 64, unless they are said to be in pixels.
"""

import math
import struct
from collections.abc import Iterator
from hashlib import shake_256
from itertools import count
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

VERSION = 1  # of the holes: whoever changes a pixel of any of them counts it up

UNIT = 64
ONE = 4096  # length of a direction; one turn of a phase
THINNEST, THICKER = 35, 80  # mean width of the pen: THINNEST + THICKER * ratio thousandths of the image's side
SHORTEST, LONGEST = 600, 1400  # thousandths of the side after which the pen is lifted, drawn once per hole
TURN2 = 12  # greatest turn of the pen, squared: TURN2 * step / side, hence 2 radians of deviation after one side
WAVES_PER_4 = 5  # changes of the width over four sides
OUTSIDE = 40  # thousandths of the side by which the pen may leave the image


class Disc(NamedTuple):
    y: int
    x: int
    radius: int


def draw(name: str, size: int, pixels: int, margin: int) -> Bool[np.ndarray, "size size"]:
    """The hole called `name`: True at exactly `pixels` places, none of them within `margin` pixels of the border.

    With margin 0 it touches the border: the first stroke begins there. Raises ValueError if there is no such hole.
    """
    if not 0 < pixels <= (size - 2 * margin) ** 2:
        raise ValueError(f"no hole of {pixels} pixels fits into {size} x {size} with a margin of {margin}")
    bits = _bits(name)
    area = np.zeros((size - 2 * margin,) * 2, bool)
    side = size * UNIT
    radius = side * (THINNEST * size**2 + THICKER * pixels) // (2000 * size**2)
    length = side * (SHORTEST + _below(bits, LONGEST - SHORTEST)) // 1000
    place = _border_place(bits, size) if margin == 0 else _free_place(bits, area)
    while True:
        for disc in _stroke(bits, place, length, radius, side, margin * UNIT):
            pixels -= _stamp(area, disc, pixels)
            if pixels == 0:
                return np.pad(area, margin)
        place = _free_place(bits, area)


def _stroke(
    bits: Iterator[int], place: tuple[int, int], length: int, radius: int, side: int, margin: int
) -> Iterator[Disc]:
    """Discs, a quarter of a width apart, along one way of the pen over a square area of side - 2 * margin."""
    area = side - 2 * margin
    # Beyond these the pen turns back. Inside a margin it has room there at its widest.
    low = radius * 3 // 2 if margin else -side * OUTSIDE // 1000
    high = area - low
    y, x = (UNIT * i + UNIT // 2 for i in place)
    heading_y, heading_x = _unit(*_point(bits))
    phase, gone = _below(bits, ONE), 0
    while gone < length:
        wide = radius * (2 * ONE + _wave(phase)) // (2 * ONE)
        if margin:  # a pen that is not to cross the margin gets thinner beside it: no outline is cut off straight
            wide = min(wide, y, x, area - y, area - x)
        yield Disc(y, x, wide)
        step = max(wide, UNIT) // 2
        most = math.isqrt(TURN2 * step * ONE**2 // side)
        turn = _below(bits, 2 * most + 1) - most
        heading_y, heading_x = _unit(heading_y * ONE + heading_x * turn, heading_x * ONE - heading_y * turn)
        y, x = y + heading_y * step // ONE, x + heading_x * step // ONE
        heading_y, heading_x = _inward(y, heading_y, low, high), _inward(x, heading_x, low, high)
        phase += ONE * WAVES_PER_4 * step // (4 * side)
        gone += step


def _stamp(area: Bool[np.ndarray, "n n"], disc: Disc, missing: int) -> int:
    """Makes a hole of the disc's pixels, the innermost `missing` of them at most. How many are new."""
    y, x, radius = disc
    rows, columns = (range(max(0, (z - radius) // UNIT), max(0, min(len(area), (z + radius) // UNIT + 1)))
                     for z in (y, x))
    dy, dx = ((np.array(places, np.int64) * UNIT + UNIT // 2 - z) ** 2 for places, z in ((rows, y), (columns, x)))
    distance2 = dy[:, None] + dx
    window = area[rows.start:rows.stop, columns.start:columns.stop]
    new = np.flatnonzero((distance2 <= radius**2) & ~window)
    if len(new) > missing:
        new = new[np.argsort(distance2.flat[new], kind="stable")[:missing]]
    window[np.unravel_index(new, window.shape)] = True
    return len(new)


def _bits(name: str) -> Iterator[int]:
    """32 random bits at a time, the same ones for a name everywhere and for ever."""
    for block in count():
        yield from struct.unpack("<1024I", shake_256(f"{name}, block {block}".encode()).digest(4096))


def _below(bits: Iterator[int], n: int) -> int:
    return next(bits) * n >> 32


def _point(bits: Iterator[int]) -> tuple[int, int]:
    """A point in a disc, not its centre: all directions are equally likely."""
    while True:
        y, x = _below(bits, 2 * ONE + 1) - ONE, _below(bits, 2 * ONE + 1) - ONE
        if 0 < y * y + x * x <= ONE**2:
            return y, x


def _border_place(bits: Iterator[int], size: int) -> tuple[int, int]:
    edge, along = _below(bits, 4), _below(bits, size)
    return ((0, along), (along, 0), (size - 1, along), (along, size - 1))[edge]


def _free_place(bits: Iterator[int], area: Bool[np.ndarray, "n n"]) -> tuple[int, int]:
    free = np.flatnonzero(~area)
    return divmod(int(free[_below(bits, len(free))]), len(area))


def _unit(y: int, x: int) -> tuple[int, int]:
    length = math.isqrt(y * y + x * x)
    return y * ONE // length, x * ONE // length


def _inward(place: int, heading: int, low: int, high: int) -> int:
    return abs(heading) if place < low else -abs(heading) if place > high else heading


def _wave(phase: int) -> int:
    """Two parabolas for a sine: 0, ONE, 0, -ONE at the quarters of a turn."""
    z = phase % ONE - ONE // 2
    return 16 * z * (ONE // 2 - abs(z)) // ONE
