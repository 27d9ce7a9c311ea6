"""Pictures of a photograph for the browser, and the hole that the browser's strokes define.

The browser receives a picture of at most MAX_AREA pixels, whatever the size of the photograph. Positions are converted
between both sizes by nearest neighbour.
"""

import io
import math

import numpy as np
from jaxtyping import Bool, UInt8, UInt16
from PIL import Image

from mai_jax import image_io
from mai_jax.errors import InputError
from mai_jax.visualize import to_eight_bits

MAX_AREA, MAX_SIDE = 4096 * 4096, 8192  # pixels of a canvas that every browser supports
TINT = (230, 0, 126)  # colour of the hole; painting.js has the same
STROKES = "the strokes"  # their name in errors

Pixels = UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]
Alpha = UInt8[np.ndarray, "h w"] | UInt16[np.ndarray, "h w"]


def display_size(height: int, width: int) -> tuple[int, int]:
    """Return the displayed height and width: those of the photograph, or the largest that the limits allow."""
    shrink = max(1.0, math.sqrt(height * width / MAX_AREA), max(height, width) / MAX_SIDE)
    return max(1, math.floor(height / shrink)), max(1, math.floor(width / shrink))


def preview(pixels: Pixels, alpha: Alpha | None) -> tuple[str, bytes]:
    """Return media type and content of the displayed picture: a JPEG, or a WebP if some pixel is transparent."""
    height, width = display_size(*pixels.shape[:2])
    image = _resized(Image.fromarray(to_eight_bits(pixels)), height, width)
    file = io.BytesIO()
    if alpha is None or alpha.min() == np.iinfo(alpha.dtype).max:
        image.save(file, "JPEG", quality=90)
        return "image/jpeg", file.getvalue()
    eight = alpha if alpha.dtype == np.uint8 else (alpha >> 8).astype(np.uint8)
    image.putalpha(_resized(Image.fromarray(eight), height, width))
    image.save(file, "WEBP", quality=90, method=0)
    return "image/webp", file.getvalue()


def hole_picture(hole: Bool[np.ndarray, "h w"]) -> bytes:
    """Return a PNG of the displayed size in which the hole has the colour of the brush and the rest is transparent."""
    image = Image.fromarray(resize_hole(hole, *display_size(*hole.shape)).astype(np.uint8))
    image.putpalette((0, 0, 0, *TINT))
    file = io.BytesIO()
    image.save(file, "PNG", transparency=0)
    return file.getvalue()


def resize_hole(hole: Bool[np.ndarray, "h w"], height: int, width: int) -> Bool[np.ndarray, "h2 w2"]:
    """Return the hole resized by nearest neighbour, sampled at the centre of each pixel."""
    if hole.shape == (height, width):
        return hole
    rows, columns = (((2 * np.arange(new) + 1) * old) // (2 * new)
                     for new, old in zip((height, width), hole.shape, strict=True))
    return hole[rows[:, None], columns]


def hole_from_strokes(encoded: bytes, height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Return the hole of the strokes on a photograph of that size.

    `encoded` is a PNG of the displayed size in which the strokes are opaque. Raises InputError for another file.
    """
    alpha = image_io.decode(encoded, STROKES).alpha
    if alpha is None or alpha.shape != display_size(height, width):
        raise InputError(f"{STROKES}: belong to another photo; reload the page")
    return resize_hole(alpha > np.iinfo(alpha.dtype).max // 2, height, width)


def jpeg(picture: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Return the picture as a JPEG of at most 1280 pixels a side."""
    image = Image.fromarray(picture)
    image.thumbnail((1280, 1280), Image.Resampling.BOX)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


def _resized(image: Image.Image, height: int, width: int) -> Image.Image:
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BOX)
