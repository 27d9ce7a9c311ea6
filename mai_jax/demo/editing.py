"""The steps of a repair on one photograph, as the web page and the HTTP interface request them.

The server keeps no photographs: each request contains the original file, and a layer with the pixels that were filled
before. So a result is encoded once, from the original, however many holes were filled one after the other.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from mai_jax import image_io
from mai_jax.data import mask_reader
from mai_jax.demo import pictures
from mai_jax.errors import InputError
from mai_jax.image_io import png
from mai_jax.image_io.photo import Samples
from mai_jax.inference import Inpainter
from mai_jax.inference.attention_maps import overlay
from mai_jax.inference.blending import blend
from mai_jax.inference.photo_holes import MOSTLY_HOLE, grow, hole_from_alpha
from mai_jax.inference.provenance import Heatmap, sources

Hole = Bool[np.ndarray, "h w"]

LAYER = "the filled pixels"  # the name of a layer in errors
NO_LAYER = "belong to another photo; reload the page"


class Edit(NamedTuple):
    """A photograph, what was filled in it, and the hole that is to be filled next.

    `pixels` is the photograph with the pixels `filled`. `is_opaque` says that the transparent part was filled, too.
    """

    photo: image_io.Photo
    pixels: pictures.Pixels
    filled: Hole
    hole: Hole
    is_opaque: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.hole.shape


class Layer(NamedTuple):
    """The filled pixels as a PNG, transparent elsewhere, and the column and row of its first pixel."""

    encoded: bytes
    left: int
    top: int


def open_photo(encoded: bytes, name: str) -> Edit:
    """Return an edit of a photograph. Raises InputError if it cannot be decoded."""
    photo = image_io.decode(encoded, name)
    return Edit(photo, photo.rgb, np.zeros(photo.rgb.shape[:2], bool), np.zeros(photo.rgb.shape[:2], bool))


def has_transparency(photo: image_io.Photo) -> bool:
    """Return whether some pixel is more transparent than opaque."""
    return photo.alpha is not None and bool(hole_from_alpha(photo).any())


def apply_layer(edit: Edit, layer: Layer) -> Edit:
    """Return the edit with the pixels that were filled before. Raises InputError for a layer of another photograph."""
    found = image_io.decode(layer.encoded, LAYER)
    height, width = found.rgb.shape[:2]
    bottom, right = layer.top + height, layer.left + width
    if min(layer.top, layer.left) < 0 or bottom > edit.size[0] or right > edit.size[1]:
        raise InputError(f"{LAYER}: {NO_LAYER}")
    if found.alpha is None or found.rgb.dtype != edit.pixels.dtype:
        raise InputError(f"{LAYER}: {NO_LAYER}")
    box, inside = (slice(layer.top, bottom), slice(layer.left, right)), found.alpha > 0
    pixels, filled = edit.pixels.copy(), edit.filled.copy()
    pixels[box][inside] = found.rgb[inside]
    filled[box] |= inside
    return edit._replace(pixels=pixels, filled=filled)


def read_mask(encoded: bytes, name: str, mask_means: str, size: tuple[int, int]) -> mask_reader.Mask:
    """Return a mask file for a photograph of that (height, width).

    Raises InputError if the file is not understood as a mask or has another size.
    """
    mask = mask_reader.read(encoded, name, mask_means)
    mask_reader.check_size(mask, name, size)
    return mask


def mask_remark(mask: mask_reader.Mask, mask_means: str) -> str:
    """Return how a mask file was read, with a question if it marks nothing or most of the photograph."""
    share, how = mask.hole.mean(), f"In this mask {mask.reading}"
    if share == 0:
        return f"{how}: nothing is to be filled. Is it the right file?"
    other = "the part to keep" if mask_means == "hole" else "the hole"
    doubt = f" Does white mean {other} in this mask?" if share > MOSTLY_HOLE else ""
    return f"{how}: {share:.{0 if share >= 0.01 else 2}%} of the photo is hole.{doubt}"


def add_transparency(edit: Edit) -> Edit:
    """Return the edit with the transparent part in the hole, where it was not filled before."""
    if edit.photo.alpha is None:
        return edit
    return edit._replace(hole=edit.hole | (hole_from_alpha(edit.photo) & ~edit.filled), is_opaque=True)


def fill(edit: Edit, inpainter: Inpainter, growth: int) -> Edit:
    """Return the edit with its hole, grown by `growth` pixels (shrunk if negative), filled.

    Raises InputError if the hole is empty or covers the whole photograph.
    """
    if not edit.hole.any():
        raise InputError("there is no hole yet: paint over what should be removed, or add a mask file")
    hole = grow(edit.hole, growth)
    if not hole.any():
        raise InputError(f"nothing is left of the hole when it shrinks by {-growth} pixels: shrink it by fewer")
    if hole.all():
        raise InputError("the hole covers the whole photo: leave a part from which it can be filled")
    pixels = blend(edit.pixels, hole, inpainter(edit.pixels, hole))
    return edit._replace(pixels=pixels, hole=hole, filled=edit.filled | hole)


def encode_layer(edit: Edit) -> Layer:
    """Return the filled pixels, cropped to their bounding box. Some pixel must be filled."""
    rows, columns = (np.flatnonzero(edit.filled.any(axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    inside, depth = edit.filled[box], 8 * edit.pixels.itemsize
    alpha = inside * edit.pixels.dtype.type(np.iinfo(edit.pixels.dtype).max)
    values = np.dstack([edit.pixels[box] * inside[..., None], alpha])
    encoded = png.write(Samples(values, "RGBA", depth), icc=b"", exif=b"", xmp=b"", dpi=None)
    return Layer(encoded, int(columns[0]), int(rows[0]))


def encode_result(edit: Edit) -> tuple[str, bytes]:
    """Return name and content of the repaired photograph's file, in the format of the original."""
    path = PurePosixPath(edit.photo.name)
    suffix = path.suffix or f".{edit.photo.format.lower()}"
    encoded = image_io.encode(edit.photo, edit.pixels, edit.filled, opaque_hole=edit.is_opaque)
    return f"{path.stem}_filled{suffix}", encoded


def has_sources(inpainter: Inpainter) -> bool:
    """Return whether the model has an attention whose sources can be shown."""
    config = getattr(inpainter, "config", None)  # a classical method has none
    return config is not None and config.method == "mai" and bool(config.generator.attention_stages)


def source_pictures(
    before: Edit, after: Edit, inpainter: Inpainter, growth: int, at: tuple[float, float]
) -> Iterator[tuple[str, bytes]]:
    """Yield (attention stage, JPEG of the sources) of a pixel that was filled.

    `before` has the hole, not yet grown by `growth`, and `after` the filled pixels. `at` is (x, y) in shares of the
    width and height. Raises InputError for a pixel outside the hole.
    """
    hole, (h, w) = grow(before.hole, growth), before.size
    row, column = int(at[1] * h), int(at[0] * w)
    if not (0 <= row < h and 0 <= column < w and hole[row, column]):
        raise InputError("this part of the photo was not filled last: click inside the area that was")
    for stage, heatmap in sources(inpainter, before.pixels, hole, row, column).items():
        top, left, bottom, right = _window_box(heatmap, h, w)
        box = slice(top, bottom), slice(left, right)
        cropped = heatmap._replace(top=heatmap.top - top, left=heatmap.left - left)
        yield stage, pictures.jpeg(overlay(after.pixels[box], hole[box], cropped, row - top, column - left))


def _window_box(heatmap: Heatmap, height: int, width: int) -> tuple[int, int, int, int]:
    """Return top, left, bottom and right of the part of the photograph in the heatmap's window."""
    side = heatmap.cell * len(heatmap.weights)
    bottom, right = min(heatmap.top + side, height), min(heatmap.left + side, width)
    return max(heatmap.top, 0), max(heatmap.left, 0), bottom, right
