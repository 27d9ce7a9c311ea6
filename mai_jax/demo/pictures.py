"""What the page shows of a photograph, and how what is painted over it there becomes a hole in the photograph.

A browser is sent pictures of at most SHOWN pixels on a side, however large the photograph is; places go from one to the
other by nearest neighbour.
"""

import base64
import io

import numpy as np
from jaxtyping import Bool, UInt8, UInt16
from PIL import Image

from mai_jax import photos
from mai_jax.types import InputError
from mai_jax.visualize import eight_bits

SHOWN = 1280  # pixels on the longer side
TINT = np.array((230, 0, 126))  # of a hole, as the brush's
PAINTED = "what was painted"  # its name in errors

Pixels = UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]


def shown_size(height: int, width: int) -> tuple[int, int]:
    """Height and width at which the page shows a photograph: its own, or with SHOWN pixels on the longer side."""
    shrink = max(height, width, SHOWN) / SHOWN
    return max(1, round(height / shrink)), max(1, round(width / shrink))


def shown(pixels: Pixels) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The photograph with 8 bits in the size in which the page shows it."""
    eight = eight_bits(pixels)
    height, width = shown_size(*pixels.shape[:2])
    return np.asarray(Image.fromarray(eight).resize((width, height), Image.Resampling.BOX, reducing_gap=2))


def scaled(hole: Bool[np.ndarray, "h w"], height: int, width: int) -> Bool[np.ndarray, "h2 w2"]:
    """The hole in another size: each pixel asks the one nearest to its centre."""
    rows, columns = (((2 * np.arange(new) + 1) * old) // (2 * new)
                     for new, old in zip((height, width), hole.shape, strict=True))
    return hole[rows[:, None], columns]


def tinted(pixels: Pixels, hole: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The photograph as shown, with the hole in the brush's colour."""
    picture = shown(pixels)
    mixed = (0.4 * picture + 0.6 * TINT).astype(np.uint8)
    return np.where(scaled(hole, *picture.shape[:2])[..., None], mixed, picture)


def outlined(pixels: Pixels, hole: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The photograph as shown, with a line around the hole."""
    picture = shown(pixels).copy()
    inside = scaled(hole, *picture.shape[:2])
    padded = np.pad(inside, 1)
    around = padded[2:, 1:-1] | padded[:-2, 1:-1] | padded[1:-1, 2:] | padded[1:-1, :-2]
    picture[around & ~inside] = TINT
    return picture


def data_url(picture: UInt8[np.ndarray, "h w 3"]) -> str:
    """The picture as an address that holds it, so that no file is written for it."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def painted(strokes: str, height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """The hole that the brush painted over a photograph of that size, from the PNG that the page sends.

    `strokes` is its data URL, "" if nothing was painted. Raises InputError unless it is a PNG of the shown size.
    """
    if not strokes:
        return np.zeros((height, width), bool)
    high, wide = shown_size(height, width)
    try:
        encoded = base64.b64decode(strokes.removeprefix("data:image/png;base64,"), validate=True)
    except ValueError as reason:
        raise InputError(f"{PAINTED}: did not arrive whole; load the page again") from reason
    alpha = photos.decode(encoded, PAINTED).alpha
    if alpha is None or alpha.shape != (high, wide):
        raise InputError(f"{PAINTED}: belongs to another photo; load the page again")
    return scaled(alpha >= 128, height, width)
