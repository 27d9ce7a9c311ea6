"""Filling of a hole in pixels, for photographs and for frames."""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from mai_jax.inference import Inpainter, blending
from mai_jax.inference.options import Options
from mai_jax.inference.photo_holes import Hole
from mai_jax.inference.tiling import Pixels


class Repair(NamedTuple):
    """What was done with a file: `status` is "unchanged" if the hole is empty; `reading` is how the mask was read.

    `holes` is the number of connected parts of the hole, `share` the hole ratio of the photograph. Of several `frames`
    these are the largest number and the mean ratio.
    """

    status: Literal["filled", "unchanged"]
    reading: str
    holes: int
    share: float
    frames: int = 1


def fill_pixels(inpainter: Inpainter, image: Pixels, hole: Hole, options: Options) -> Pixels:
    """Return the photograph with its hole filled and blended."""
    if not hole.pixels.any():
        return image
    filled = blending.blend(image, hole.pixels, inpainter(image, hole.pixels), options.blend)
    return hole.mix(image, filled)


def count_parts(hole: Bool[np.ndarray, "h w"]) -> int:
    """Return the number of connected parts of the hole; pixels that touch at a corner are connected."""
    rows, columns = (np.flatnonzero(hole.any(axis)) for axis in (1, 0))
    if not len(rows):
        return 0
    return ndimage.label(hole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], np.ones((3, 3)))[1]
