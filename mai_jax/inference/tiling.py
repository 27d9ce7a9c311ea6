"""Tiling: square windows around the holes of a photograph, their network input, and blending of the predictions.

A network is trained on squares of one size with a limited hole ratio. Therefore each hole is processed in square
windows of that size: at full resolution if enough pixels around it are given, otherwise downscaled until there are.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8, UInt16
from PIL import Image
from skimage import measure

BLOCK = 8  # side, in pixels, of the blocks in which holes are found and covered
CORE = 0.75  # central share of a window's side with full blending weight; the weight falls towards the edges
STRIP_PIXELS = 1 << 20  # upscaled at a time

Pixels = UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]


class Window(NamedTuple):
    """A square of `size * shrink` pixels of a photograph, downscaled by `shrink` to the network input, `size` x `size`.

    Network pixel (i, j) covers the photograph's rows top + i * shrink to top + (i + 1) * shrink, and the corresponding
    columns. A window may extend beyond the photograph; pixels outside it count as hole.
    """

    top: int
    left: int
    shrink: int
    size: int

    @property
    def side(self) -> int:
        return self.size * self.shrink

    def inside(self, height: int, width: int) -> tuple[slice, slice]:
        """Return the rows and columns of a photograph of that height and width that are in the window."""
        return (slice(max(self.top, 0), min(self.top + self.side, height)),
                slice(max(self.left, 0), min(self.left + self.side, width)))


class Plan(NamedTuple):
    """The windows of a hole, those with the smallest shrink first, and the shrink of each block of the photograph."""

    windows: list[Window]
    shrinks: Int[np.ndarray, "h8 w8"]  # 0 in blocks without a hole

    def assigned(self, window: Window, hole: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "wh ww"]:
        """Return the hole pixels, of the part of the photograph in `window`, that windows of its shrink fill."""
        rows, columns = window.inside(*hole.shape)
        block = np.ix_(np.arange(rows.start, rows.stop) // BLOCK, np.arange(columns.start, columns.stop) // BLOCK)
        return hole[rows, columns] & (self.shrinks[block] == window.shrink)


def plan(hole: Bool[np.ndarray, "h w"], size: int, max_ratio: float) -> Plan:
    """Return windows of `size` network pixels that together cover the hole.

    A photograph that fits into one window gets one window. Otherwise each connected hole gets the smallest shrink at
    which no window around one of its pixels has a hole ratio above `max_ratio`.
    """
    share = _block_means(hole)
    if max(hole.shape) <= size:
        return Plan([Window(0, 0, 1, size)] if hole.any() else [], (share > 0).astype(int))
    labels = measure.label(share > 0, connectivity=2)
    shrinks = _shrink_per_label(share, labels, hole.shape, size, max_ratio)[labels]
    return Plan([window for shrink in np.unique(shrinks[shrinks > 0])
                 for window in _cover(shrinks == shrink, hole.shape, int(shrink), size)], shrinks)


def cut(
    image: Pixels, hole: Bool[np.ndarray, "h w"], window: Window
) -> tuple[Float[np.ndarray, "s s 3"], Bool[np.ndarray, "s s"]]:
    """Return the network's input for the window: pixels in [0, 1] and the hole.

    A pixel is the mean of the given pixels that it covers, 0 without any; it is hole unless all of them are given.
    """
    rows, columns = window.inside(*hole.shape)
    at = (slice(rows.start - window.top, rows.stop - window.top),
          slice(columns.start - window.left, columns.stop - window.left))
    valid = np.zeros((window.side, window.side), bool)
    valid[at] = ~hole[rows, columns]
    given = np.zeros((window.side, window.side, 3), image.dtype)
    given[at] = image[rows, columns] * valid[at][..., None]
    blocks = (window.size, window.shrink, window.size, window.shrink)
    count = valid.reshape(blocks).sum((1, 3))
    mean = given.reshape(*blocks, 3).sum((1, 3), dtype=np.uint64) / np.maximum(count, 1)[..., None]
    return mean.astype(np.float32) / np.iinfo(image.dtype).max, count < window.shrink**2


def paste(
    image: Pixels, hole: Bool[np.ndarray, "h w"], plan: Plan,
    predictions: Iterable[tuple[Window, Float[np.ndarray, "s s 3"]]],
) -> Pixels:  # fmt: skip
    """Return the photograph with its hole filled from the predictions, in [0, 1], of the plan's windows.

    Overlapping windows are blended with weights that fall towards their edges. Pixels outside the hole do not change.
    The memory besides the photograph grows with the hole.
    """
    positions = np.flatnonzero(hole)
    total, weights = np.zeros((positions.size, 3), np.float32), np.zeros((positions.size, 1), np.float32)
    for window, prediction in predictions:
        assigned = plan.assigned(window, hole)
        rows, columns = window.inside(*hole.shape)
        for start, colours in _upscaled_strips(prediction, window):
            top, bottom = max(start, rows.start), min(start + len(colours), rows.stop)
            if top >= bottom:
                continue
            i, j = np.nonzero(assigned[top - rows.start : bottom - rows.start])
            i, j = i + top, j + columns.start
            at = np.searchsorted(positions, i * hole.shape[1] + j)
            weight = _blend_weight(i - window.top, window.side) * _blend_weight(j - window.left, window.side)
            weight = weight[:, None] if len(plan.windows) > 1 else 1
            total[at] += weight * colours[i - start, j - window.left]
            weights[at] += weight
    white = np.iinfo(image.dtype).max
    filled = image.copy()
    filled.reshape(-1, 3)[positions] = np.floor(np.clip(total / weights, 0, 1) * white + 0.5).astype(image.dtype)
    return filled


def _block_means(hole: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h8 w8"]:
    """Return the hole ratio of each block; pixels outside the photograph count as given."""
    h, w = hole.shape
    padded = np.pad(hole, ((0, -h % BLOCK), (0, -w % BLOCK)))
    return padded.reshape(-(-h // BLOCK), BLOCK, -(-w // BLOCK), BLOCK).mean((1, 3))


def _shrink_per_label(
    share: Float[np.ndarray, "h8 w8"], labels: Int[np.ndarray, "h8 w8"], shape: tuple[int, int], size: int,
    max_ratio: float,
) -> Int[np.ndarray, "n"]:  # fmt: skip
    """Return the shrink of each label; 0 for label 0, the background."""
    largest = -(-max(shape) // size)  # with it one window covers the whole photograph
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
    """Return the hole ratio of a window of `side` blocks around each block, moved into the photograph if it fits."""
    side = max(round(side), 1)
    sums = np.pad(share, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    (top, bottom), (left, right) = (_span(length, side) for length in share.shape)
    inside = (sums[np.ix_(bottom, right)] - sums[np.ix_(top, right)]
              - sums[np.ix_(bottom, left)] + sums[np.ix_(top, left)])
    area = np.outer(bottom - top, right - left)
    return (inside + side**2 - area) / side**2  # outside the photograph nothing is given


def _span(length: int, side: int) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """Return start and stop of a window of `side` around each of `length` positions, moved inside where possible."""
    start = np.clip(np.arange(length) - side // 2, 0, max(length - side, 0))
    return start, np.minimum(start + side, length)


def _cover(blocks: Bool[np.ndarray, "h8 w8"], shape: tuple[int, int], shrink: int, size: int) -> Iterator[Window]:
    """Yield windows whose cores cover the blocks: row by row, each centred on the blocks that it adds."""
    remaining, side = blocks.copy(), size * shrink
    core = max(int(CORE * side) // BLOCK, 1)
    while remaining.any():
        y = int(remaining.any(1).argmax())
        x = int(remaining[y : y + core].any(0).argmax())
        covered = remaining[y : y + core, x : x + core]
        centres = [BLOCK * (first + (i.min() + i.max() + 1) / 2)
                   for first, i in zip((y, x), np.nonzero(covered), strict=True)]
        covered[:] = False
        top, left = (int(np.clip(round(centre - side / 2), 0, max(length - side, 0)))
                     for centre, length in zip(centres, shape, strict=True))
        yield Window(top, left, shrink, size)


def _blend_weight(i: Int[np.ndarray, "n"], side: int) -> Float[np.ndarray, "n"]:
    """Return the weight of pixel i along a window's side: 1 in the core, falling towards both edges, never 0."""
    to_edge = np.minimum(i, side - 1 - i) + 0.5
    return np.minimum(to_edge / (side * (1 - CORE) / 2), 1).astype(np.float32)


def _upscaled_strips(
    prediction: Float[np.ndarray, "s s 3"], window: Window
) -> Iterator[tuple[int, Float[np.ndarray, "n m 3"]]]:
    """Yield the prediction at the photograph's resolution in strips of full width: (first row, colours)."""
    if window.shrink == 1:
        yield window.top, prediction
        return
    channels = [Image.fromarray(prediction[..., c]) for c in range(3)]
    rows = max(STRIP_PIXELS // window.side // window.shrink, 1)  # network rows in a strip
    for first in range(0, window.size, rows):
        last = min(first + rows, window.size)
        box, shape = (0, first, window.size, last), (window.side, (last - first) * window.shrink)
        strip = [channel.resize(shape, Image.Resampling.BICUBIC, box=box) for channel in channels]
        yield window.top + first * window.shrink, np.stack([np.asarray(channel) for channel in strip], axis=-1)
