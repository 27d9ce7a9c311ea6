"""Pictures of batches, and the only conversion from [0, 1] to 8 bits."""

import math
from collections.abc import Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8, UInt16
from PIL import Image, ImageDraw, ImageFont

from mai_jax.batch import Batch

TILE = 192  # minimum side of a photograph, reached by a whole factor, and maximum width of a caption, in pixels
GAP = 10  # pixels
TITLE_SIZE, CAPTION_SIZE = 20, 15  # font sizes
BACKGROUND, TEXT_COLOUR = (226, 226, 230), (24, 24, 28)  # grey, to contrast with a white hole

ArrayT = TypeVar("ArrayT", Array, np.ndarray)


def to_uint8(x: Float[ArrayT, "..."]) -> UInt8[ArrayT, "..."]:
    """Return [0, 1] as 0 ... 255: clipped, rounded to nearest, halves up. NumPy stays NumPy, JAX stays JAX."""
    xp = jnp if isinstance(x, jax.Array) else np
    x = x.astype(xp.promote_types(x.dtype, xp.float32))
    return xp.floor(xp.clip(x, 0, 1) * 255 + 0.5).astype(xp.uint8)


def to_eight_bits(pixels: UInt8[np.ndarray, "..."] | UInt16[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    """Return the high byte of 16-bit pixels, and 8-bit pixels unchanged."""
    return (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels


def show_hole(batch: Batch) -> Float[Array, "b h w 3"]:
    """Return the images with the hole white."""
    return jnp.where(batch.valid > 0, batch.image, 1)


def side_by_side(
    columns: dict[str, Float[np.ndarray, "n h w 3"]], captions: Sequence[str] | None = None
) -> Image.Image:
    """Return a picture with one titled column per entry, one row per photograph; values are in [0, 1].

    `captions`, one per row, are written to its left and may have several lines. Raises ValueError unless all columns
    have the same shape and there are as many captions as rows.
    """
    shapes = {name: images.shape for name, images in columns.items()}
    (rows, height, width, _), *others = set(shapes.values())
    if others or rows != len(captions or range(rows)):
        raise ValueError(f"columns and captions are not of one shape: {shapes}, {captions}")
    title_font, caption_font = ImageFont.load_default(TITLE_SIZE), ImageFont.load_default(CAPTION_SIZE)
    texts = [_truncate(text, caption_font) for text in captions or ()]
    gutter = max((caption_font.getlength(line) for text in texts for line in text.split("\n")), default=-GAP)
    factor = -(-TILE // min(height, width, TILE))
    tile_height, tile_width = height * factor, width * factor
    top = TITLE_SIZE + 2 * GAP
    left = GAP + math.ceil(gutter) + GAP

    page = Image.new("RGB", (left + len(columns) * (tile_width + GAP), top + rows * (tile_height + GAP)), BACKGROUND)
    draw = ImageDraw.Draw(page)
    for i, (name, images) in enumerate(columns.items()):
        x = left + i * (tile_width + GAP)
        draw.text((x + tile_width / 2, top / 2), name, TEXT_COLOUR, title_font, anchor="mm")
        for j, pixels in enumerate(to_uint8(images)):
            tile = Image.fromarray(pixels).resize((tile_width, tile_height), Image.Resampling.NEAREST)
            page.paste(tile, (x, top + j * (tile_height + GAP)))
    for j, text in enumerate(texts):
        middle = top + j * (tile_height + GAP) + tile_height / 2
        draw.text((left - GAP, middle), text, TEXT_COLOUR, caption_font, anchor="rm", align="right", spacing=6)
    return page


def _truncate(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return the text with lines wider than TILE cut at the beginning, because the end of a path identifies a file."""
    lines = text.split("\n")
    for i, line in enumerate(lines):
        start = next(k for k in range(len(line) + 1) if font.getlength("…" * (k > 0) + line[k:]) <= TILE)
        lines[i] = "…" * (start > 0) + line[start:]
    return "\n".join(lines)
