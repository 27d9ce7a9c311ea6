"""Pictures for people: holes in white, photographs side by side; and the one place where [0, 1] becomes 0 ... 255."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8, UInt16
from PIL import Image, ImageDraw, ImageFont

from mai_jax.types import Batch

TILE = 192  # pixels: smaller photographs are enlarged to this or more by a whole factor, longer captions are clipped
GAP = 10
TITLE, CAPTION = 20, 15  # font sizes
PAPER, INK = (226, 226, 230), (24, 24, 28)  # grey paper, from which a white hole stands out


def to_uint8(x: Float[Array | np.ndarray, "..."]) -> UInt8[Array | np.ndarray, "..."]:
    """[0, 1] to 0 ... 255: clipped, rounded to nearest, halves up. NumPy stays NumPy, JAX stays JAX."""
    xp = jnp if isinstance(x, jax.Array) else np
    x = x.astype(xp.promote_types(x.dtype, xp.float32))
    return xp.floor(xp.clip(x, 0, 1) * 255 + 0.5).astype(xp.uint8)


def eight_bits(pixels: UInt8[np.ndarray, "..."] | UInt16[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    """Pixels of 16 bits as a screen shows them."""
    return (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels


def show_hole(batch: Batch) -> Float[Array, "b h w 3"]:
    """What a model is given, with the hole white."""
    return jnp.where(batch.known > 0, batch.image, 1)


def side_by_side(
    columns: dict[str, Float[np.ndarray, "n h w 3"]], captions: Sequence[str] | None = None
) -> Image.Image:
    """One row per photograph, one titled column per entry; all columns have one shape and hold [0, 1].

    `captions`, one per row, stand to its left; they may have several lines.
    """
    shapes = {name: images.shape for name, images in columns.items()}
    (rows, height, width, _), *others = set(shapes.values())
    if others or rows != len(captions or range(rows)):
        raise ValueError(f"columns and captions are not of one shape: {shapes}, {captions}")
    title_font, caption_font = ImageFont.load_default(TITLE), ImageFont.load_default(CAPTION)
    texts = [_clipped(text, caption_font) for text in captions or ()]
    gutter = max((caption_font.getlength(line) for text in texts for line in text.split("\n")), default=-GAP)
    factor = -(-TILE // min(height, width, TILE))
    tile_height, tile_width = height * factor, width * factor
    top = TITLE + 2 * GAP
    left = GAP + math.ceil(gutter) + GAP

    page = Image.new("RGB", (left + len(columns) * (tile_width + GAP), top + rows * (tile_height + GAP)), PAPER)
    draw = ImageDraw.Draw(page)
    for i, (name, images) in enumerate(columns.items()):
        x = left + i * (tile_width + GAP)
        draw.text((x + tile_width / 2, top / 2), name, INK, title_font, anchor="mm")
        for j, pixels in enumerate(to_uint8(images)):
            tile = Image.fromarray(pixels).resize((tile_width, tile_height), Image.Resampling.NEAREST)
            page.paste(tile, (x, top + j * (tile_height + GAP)))
    for j, text in enumerate(texts):
        middle = top + j * (tile_height + GAP) + tile_height / 2
        draw.text((left - GAP, middle), text, INK, caption_font, anchor="rm", align="right", spacing=6)
    return page


def _clipped(text: str, font: ImageFont.FreeTypeFont) -> str:
    """The text with the beginning of every line that is too wide left out: the end of a path says more."""
    lines = text.split("\n")
    for i, line in enumerate(lines):
        start = next(k for k in range(len(line) + 1) if font.getlength("…" * (k > 0) + line[k:]) <= TILE)
        lines[i] = "…" * (start > 0) + line[start:]
    return "\n".join(lines)
