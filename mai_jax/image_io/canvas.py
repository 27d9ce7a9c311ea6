"""The canvas on which the frames of an animation are painted."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from mai_jax.image_io.frame import Frame
from mai_jax.image_io.photo import Photo

Box = tuple[slice, slice]


class Painted(NamedTuple):
    """The pixels of the canvas that a frame shows, and those of them at which it hides all that was there before."""

    shown: Bool[np.ndarray, "h w"]
    covered: Bool[np.ndarray, "h w"]


class Canvas:
    """What is shown: `rgb` and `alpha`, of 8 or 16 bits, and `is_fill`: whether a pixel is, or lies over, a fill.

    It is empty and transparent before the first frame.
    """

    def __init__(self, size: tuple[int, int], dtype: np.dtype) -> None:
        self.rgb = np.zeros((*size, 3), dtype)
        self.alpha = np.zeros(size, dtype)
        self.is_fill = np.zeros(size, bool)
        self._before: list[np.ndarray] = []

    def paint(self, frame: Frame, photo: Photo) -> Painted:
        """Paint a frame, decoded as `photo`. What it covers is no fill."""
        box, white = box_of(frame, photo), int(np.iinfo(self.alpha.dtype).max)
        if frame.disposal == "restore":
            self._before = [layer.copy() for layer in self._layers]
        rgb, alpha, is_fill = (layer[box] for layer in self._layers)
        own = np.full(alpha.shape, white, alpha.dtype) if photo.alpha is None else photo.alpha
        takes = np.full(own.shape, True) if frame.replaces else (own == white) | ((own > 0) & (alpha == 0))
        mixes = (own > 0) & ~takes
        if mixes.any():
            over, below = own[mixes][:, None] / white, alpha[mixes][:, None] / white
            both = over + below * (1 - over)
            rgb[mixes] = (over * photo.rgb[mixes] + below * (1 - over) * rgb[mixes]) / both + 0.5
            alpha[mixes] = both[:, 0] * white + 0.5
        rgb[takes], alpha[takes], is_fill[takes] = photo.rgb[takes], own[takes], False
        painted = Painted(np.zeros_like(self.is_fill), np.zeros_like(self.is_fill))
        painted.shown[box], painted.covered[box] = own > 0, takes & (own > 0)
        return painted

    def dispose(self, frame: Frame, box: Box) -> None:
        """Do what follows after the frame, which was painted last and in that part, was shown."""
        if frame.disposal == "clear":
            for layer in self._layers:
                layer[box] = 0
        elif frame.disposal == "restore":
            for layer, before in zip(self._layers, self._before, strict=True):
                layer[box] = before[box]

    @property
    def _layers(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.rgb, self.alpha, self.is_fill


def box_of(frame: Frame, photo: Photo) -> Box:
    """Return the part of the canvas that a frame covers."""
    height, width = photo.rgb.shape[:2]
    return slice(frame.top, frame.top + height), slice(frame.left, frame.left + width)
