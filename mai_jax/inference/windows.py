"""Which parts of a photograph the network looks at, what it sees there, and how its painting returns to the photograph.

A network is trained on squares of one size, of which no more than a certain share is hole. So every hole is looked at
through square windows of that size: at full resolution if enough is given around it, else shrunk until there is.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8, UInt16
from PIL import Image
from skimage import measure

BLOCK = 8  # pixels: holes are found and covered on a grid of this pitch
CORE = 0.75  # share of a window's side within which its painting counts in full; it fades towards the edge
STRIP = 1 << 20  # pixels that are enlarged at a time

Pixels = UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]


class Window(NamedTuple):
    """A square of `size * shrink` pixels of a photograph, which the network sees as `size` x `size`.

    Network pixel (i, j) covers the photograph's rows top + i * shrink to top + (i + 1) * shrink, and columns alike. A
    window may reach over the photograph's border; what is beyond counts as hole.
    """

    top: int
    left: int
    shrink: int
    size: int

    @property
    def side(self) -> int:
        return self.size * self.shrink

    def inside(self, height: int, width: int) -> tuple[slice, slice]:
        """The rows and columns that the window covers, of a photograph of that height and width."""
        return (slice(max(self.top, 0), min(self.top + self.side, height)),
                slice(max(self.left, 0), min(self.left + self.side, width)))


class Plan(NamedTuple):
    """The windows of a hole, the finest first, and the shrink with which each block of the photograph is painted."""

    windows: list[Window]
    shrinks: Int[np.ndarray, "h8 w8"]  # 0 where nothing is to be painted

    def answers(self, window: Window, hole: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "wh ww"]:
        """Which pixels of the part of the photograph inside `window` are painted through windows of its shrink."""
        rows, columns = window.inside(*hole.shape)
        block = np.ix_(np.arange(rows.start, rows.stop) // BLOCK, np.arange(columns.start, columns.stop) // BLOCK)
        return hole[rows, columns] & (self.shrinks[block] == window.shrink)


def plan(hole: Bool[np.ndarray, "h w"], size: int, max_ratio: float) -> Plan:
    """Windows that together answer for every pixel of the hole.

    A photograph that fits into one window is one window. Otherwise each connected hole is painted with the smallest
    shrink with which no window around one of its pixels is more than `max_ratio` hole.
    """
    share = _block_means(hole)
    if max(hole.shape) <= size:
        return Plan([Window(0, 0, 1, size)] if hole.any() else [], (share > 0).astype(int))
    labels = measure.label(share > 0, connectivity=2)
    shrinks = _shrink_of_each(share, labels, hole.shape, size, max_ratio)[labels]
    return Plan([window for shrink in np.unique(shrinks[shrinks > 0])
                 for window in _cover(shrinks == shrink, hole.shape, int(shrink), size)], shrinks)


def cut(
    image: Pixels, hole: Bool[np.ndarray, "h w"], window: Window
) -> tuple[Float[np.ndarray, "s s 3"], Bool[np.ndarray, "s s"]]:
    """What the network sees: the mean of what is given, in [0, 1], and the hole: where not everything is given."""
    rows, columns = window.inside(*hole.shape)
    at = (slice(rows.start - window.top, rows.stop - window.top),
          slice(columns.start - window.left, columns.stop - window.left))
    known = np.zeros((window.side, window.side), bool)
    known[at] = ~hole[rows, columns]
    given = np.zeros((window.side, window.side, 3), image.dtype)
    given[at] = image[rows, columns] * known[at][..., None]
    blocks = (window.size, window.shrink, window.size, window.shrink)
    count = known.reshape(blocks).sum((1, 3))
    mean = given.reshape(*blocks, 3).sum((1, 3), dtype=np.uint64) / np.maximum(count, 1)[..., None]
    return mean.astype(np.float32) / np.iinfo(image.dtype).max, count < window.shrink**2


def paste(
    image: Pixels, hole: Bool[np.ndarray, "h w"], plan: Plan,
    paintings: Iterable[tuple[Window, Float[np.ndarray, "s s 3"]]],
) -> Pixels:  # fmt: skip
    """The photograph with its hole filled from the windows' paintings.

    A painting fades towards the edge of its window, so overlapping windows blend; all of it stays inside the hole.
    Memory beyond the photograph grows with the hole, not with the photograph.
    """
    positions = np.flatnonzero(hole)
    total, weights = np.zeros((positions.size, 3), np.float32), np.zeros((positions.size, 1), np.float32)
    for window, painting in paintings:
        answers = plan.answers(window, hole)
        rows, columns = window.inside(*hole.shape)
        for start, colours in _enlarged(painting, window):
            top, bottom = max(start, rows.start), min(start + len(colours), rows.stop)
            if top >= bottom:
                continue
            i, j = np.nonzero(answers[top - rows.start : bottom - rows.start])
            i, j = i + top, j + columns.start
            at = np.searchsorted(positions, i * hole.shape[1] + j)
            weight = _fade(i - window.top, window.side) * _fade(j - window.left, window.side)
            weight = weight[:, None] if len(plan.windows) > 1 else 1
            total[at] += weight * colours[i - start, j - window.left]
            weights[at] += weight
    top = np.iinfo(image.dtype).max
    filled = image.copy()
    filled.reshape(-1, 3)[positions] = np.floor(np.clip(total / weights, 0, 1) * top + 0.5).astype(image.dtype)
    return filled


def _block_means(hole: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h8 w8"]:
    """Share of hole in each block; beyond the photograph there is none."""
    h, w = hole.shape
    padded = np.pad(hole, ((0, -h % BLOCK), (0, -w % BLOCK)))
    return padded.reshape(-(-h // BLOCK), BLOCK, -(-w // BLOCK), BLOCK).mean((1, 3))


def _shrink_of_each(
    share: Float[np.ndarray, "h8 w8"], labels: Int[np.ndarray, "h8 w8"], shape: tuple[int, int], size: int,
    max_ratio: float,
) -> Int[np.ndarray, "n"]:  # fmt: skip
    """The shrink of each label; 0 for label 0, which is no hole."""
    largest = -(-max(shape) // size)  # with it one window sees the whole photograph
    shrinks = np.zeros(labels.max() + 1, int)
    for shrink in range(1, largest + 1):
        worst = np.zeros(len(shrinks))
        np.maximum.at(worst, labels, _ratio_around(share, size * shrink / BLOCK))
        shrinks[(shrinks == 0) & ((worst <= max_ratio) | (shrink == largest))] = shrink
        if shrinks[1:].all():
            break
    shrinks[0] = 0
    return shrinks


def _ratio_around(share: Float[np.ndarray, "h8 w8"], side: float) -> Float[np.ndarray, "h8 w8"]:
    """Share of hole in a window of `side` blocks around each block, moved into the photograph where it can be."""
    side = max(round(side), 1)
    sums = np.pad(share, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    (top, bottom), (left, right) = (_span(length, side) for length in share.shape)
    inside = (sums[np.ix_(bottom, right)] - sums[np.ix_(top, right)]
              - sums[np.ix_(bottom, left)] + sums[np.ix_(top, left)])
    area = np.outer(bottom - top, right - left)
    return (inside + side**2 - area) / side**2  # beyond the photograph nothing is given


def _span(length: int, side: int) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    start = np.clip(np.arange(length) - side // 2, 0, max(length - side, 0))
    return start, np.minimum(start + side, length)


def _cover(blocks: Bool[np.ndarray, "h8 w8"], shape: tuple[int, int], shrink: int, size: int) -> Iterator[Window]:
    """Windows whose cores cover the blocks: row by row, each centred on the blocks that it takes."""
    left, side = blocks.copy(), size * shrink
    core = max(int(CORE * side) // BLOCK, 1)
    while left.any():
        y = int(left.any(1).argmax())
        x = int(left[y : y + core].any(0).argmax())
        taken = left[y : y + core, x : x + core]
        middles = [BLOCK * (first + (i.min() + i.max() + 1) / 2)
                   for first, i in zip((y, x), np.nonzero(taken), strict=True)]
        taken[:] = False
        top, at_left = (int(np.clip(round(middle - side / 2), 0, max(length - side, 0)))
                        for middle, length in zip(middles, shape, strict=True))
        yield Window(top, at_left, shrink, size)


def _fade(i: Int[np.ndarray, "n"], side: int) -> Float[np.ndarray, "n"]:
    """Weight of pixel i of a window's side: 1 in the core, falling towards both edges, never 0."""
    to_edge = np.minimum(i, side - 1 - i) + 0.5
    return np.minimum(to_edge / (side * (1 - CORE) / 2), 1).astype(np.float32)


def _enlarged(painting: Float[np.ndarray, "s s 3"], window: Window) -> Iterator[tuple[int, Float[np.ndarray, "n m 3"]]]:
    """The painting at the photograph's resolution, in strips of full width: (the strip's row in the photo, colours)."""
    if window.shrink == 1:
        yield window.top, painting
        return
    channels = [Image.fromarray(painting[..., c]) for c in range(3)]
    rows = max(STRIP // window.side // window.shrink, 1)  # network rows in a strip
    for first in range(0, window.size, rows):
        last = min(first + rows, window.size)
        box, shape = (0, first, window.size, last), (window.side, (last - first) * window.shrink)
        strip = [channel.resize(shape, Image.Resampling.BICUBIC, box=box) for channel in channels]
        yield window.top + first * window.shrink, np.stack([np.asarray(channel) for channel in strip], axis=-1)
