"""Pictures of a photograph for the browser, and the hole that the browser's brush strokes define.

The browser receives pictures of at most MAX_SIDE pixels a side, whatever the size of the photograph. Positions are
converted between both sizes by nearest neighbour.
"""

import base64
import io

import numpy as np
from jaxtyping import Bool, UInt8, UInt16
from PIL import Image

from mai_jax import image_io
from mai_jax.errors import InputError
from mai_jax.visualize import to_eight_bits

MAX_SIDE = 1280  # pixels of the longer side
TINT = np.array((230, 0, 126))  # colour of the hole; brush.js has the same
STROKES = "the brush strokes"  # their name in errors

Pixels = UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]


def display_size(height: int, width: int) -> tuple[int, int]:
    """Return the displayed height and width: those of the photograph, or with MAX_SIDE pixels on the longer side."""
    shrink = max(height, width, MAX_SIDE) / MAX_SIDE
    return max(1, round(height / shrink)), max(1, round(width / shrink))


def display(pixels: Pixels) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Return the photograph with 8 bits at its displayed size."""
    height, width = display_size(*pixels.shape[:2])
    image = Image.fromarray(to_eight_bits(pixels))
    return np.asarray(image.resize((width, height), Image.Resampling.BOX, reducing_gap=2))


def resize_hole(hole: Bool[np.ndarray, "h w"], height: int, width: int) -> Bool[np.ndarray, "h2 w2"]:
    """Return the hole resized by nearest neighbour, sampled at the centre of each pixel."""
    rows, columns = (((2 * np.arange(new) + 1) * old) // (2 * new)
                     for new, old in zip((height, width), hole.shape, strict=True))
    return hole[rows[:, None], columns]


def tint_hole(pixels: Pixels, hole: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Return the displayed photograph with the hole in the colour of the brush."""
    picture = display(pixels)
    tinted = (0.4 * picture + 0.6 * TINT).astype(np.uint8)
    return np.where(resize_hole(hole, *picture.shape[:2])[..., None], tinted, picture)


def outline_hole(pixels: Pixels, hole: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Return the displayed photograph with a line around the hole."""
    picture = display(pixels).copy()
    inside = resize_hole(hole, *picture.shape[:2])
    padded = np.pad(inside, 1)
    neighbours = padded[2:, 1:-1] | padded[:-2, 1:-1] | padded[1:-1, 2:] | padded[1:-1, :-2]
    picture[neighbours & ~inside] = TINT
    return picture


def data_url(picture: UInt8[np.ndarray, "h w 3"]) -> str:
    """Return the picture as a data URL, so that the server stores no file for it."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def hole_from_strokes(strokes: str, height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Return the hole of the brush strokes on a photograph of that size.

    `strokes` is the data URL of the PNG that the page sends, "" without strokes. Raises InputError unless it is a PNG
    of the displayed size.
    """
    if not strokes:
        return np.zeros((height, width), bool)
    try:
        encoded = base64.b64decode(strokes.removeprefix("data:image/png;base64,"), validate=True)
    except ValueError as reason:
        raise InputError(f"{STROKES}: were transmitted incompletely; reload the page") from reason
    alpha = image_io.decode(encoded, STROKES).alpha
    if alpha is None or alpha.shape != display_size(height, width):
        raise InputError(f"{STROKES}: belong to another photo; reload the page")
    return resize_hole(alpha >= 128, height, width)
