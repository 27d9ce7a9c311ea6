"""The editing steps of the web page on one photograph, independent of gradio."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from mai_jax import image_io
from mai_jax.data import mask_reader
from mai_jax.demo import pictures
from mai_jax.errors import InputError
from mai_jax.inference import Inpainter
from mai_jax.inference.attention_maps import overlay
from mai_jax.inference.blending import blend
from mai_jax.inference.photo_repair import MOSTLY_HOLE, grow, hole_from_alpha
from mai_jax.inference.provenance import Heatmap, sources

Hole = Bool[np.ndarray, "h w"]


class Edit(NamedTuple):
    """A photograph with its hole, and the result once the hole is filled.

    `file_hole` is the hole without brush strokes: that of the mask file, with the transparent part of the photograph if
    `with_transparent`. `mask` is the mask file. `hole` is the hole that was filled and `result` the filled photograph;
    both are None before.
    """

    photo: image_io.Photo
    file_hole: Hole
    with_transparent: bool
    mask: mask_reader.Mask | None = None
    hole: Hole | None = None
    result: pictures.Pixels | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.file_hole.shape


def open_photo(encoded: bytes, name: str) -> Edit:
    """Return an edit of an uploaded photograph. Raises InputError if it cannot be decoded."""
    photo = image_io.decode(encoded, name)
    return Edit(photo, np.zeros(photo.rgb.shape[:2], bool), False)


def has_transparency(photo: image_io.Photo) -> bool:
    """Return whether some pixel is more transparent than opaque."""
    return photo.alpha is not None and bool(hole_from_alpha(photo).any())


def set_file_hole(edit: Edit, encoded: bytes | None, name: str, mask_means: str, *, with_transparent: bool) -> Edit:
    """Return the edit with the hole of a mask file (see `mask_reader.read`) and of the transparency.

    Raises InputError if the file is not understood as a mask or differs from the photograph in size.
    """
    hole, mask = np.zeros(edit.size, bool), None
    if encoded is not None:
        mask = mask_reader.read(encoded, name, mask_means)
        mask_reader.check_size(mask, name, edit.size)
        hole = mask.hole
    if with_transparent:
        hole = hole | hole_from_alpha(edit.photo)
    return edit._replace(file_hole=hole, with_transparent=with_transparent, mask=mask)


def mask_remark(mask: mask_reader.Mask, mask_means: str) -> str:
    """Return how a mask file was read, with a question if it marks nothing or most of the photograph."""
    share, how = mask.hole.mean(), f"In this mask {mask.reading}"
    if share == 0:
        return f"{how}: nothing is to be filled. Is it the right file?"
    other = "the part to keep" if mask_means == "hole" else "the hole"
    doubt = f" Does white mean {other} in this mask?" if share > MOSTLY_HOLE else ""
    return f"{how}: {share:.{0 if share >= 0.01 else 2}%} of the photo is hole.{doubt}"


def fill(edit: Edit, inpainter: Inpainter, strokes: str, growth: int) -> Edit:
    """Return the edit with its hole and the brush strokes, both grown by `growth` pixels, filled.

    Raises InputError if the hole is empty or covers the whole photograph.
    """
    hole = grow(edit.file_hole | pictures.hole_from_strokes(strokes, *edit.size), growth)
    if not hole.any():
        raise InputError("there is no hole yet: paint over what should be removed, or add a mask file")
    if hole.all():
        raise InputError("the hole covers the whole photo: leave a part from which it can be filled")
    return edit._replace(hole=hole, result=blend(edit.photo.rgb, hole, inpainter(edit.photo.rgb, hole)))


def encode_result(edit: Edit) -> tuple[str, bytes]:
    """Return name and content of the filled photograph's file, in the format of the original."""
    assert edit.result is not None and edit.hole is not None, "the hole is not filled"
    path = Path(edit.photo.name)
    suffix = path.suffix or f".{edit.photo.format.lower()}"
    encoded = image_io.encode(edit.photo, edit.result, edit.hole, opaque_hole=edit.with_transparent)
    return f"{path.stem}_filled{suffix}", encoded


def source_pictures(
    edit: Edit, inpainter: Inpainter, at: tuple[int, int]
) -> Iterator[tuple[str, UInt8[np.ndarray, "h w 3"]]]:
    """Yield (attention stage, picture of the sources) of a pixel; `at` is (x, y) in the displayed result.

    Raises InputError for a pixel outside the hole.
    """
    display_h, display_w = pictures.display_size(*edit.size)
    (column, row), (h, w) = at, edit.size
    row, column = (2 * row + 1) * h // (2 * display_h), (2 * column + 1) * w // (2 * display_w)
    if edit.hole is None or edit.result is None or not (0 <= row < h and 0 <= column < w and edit.hole[row, column]):
        raise InputError("this part of the photo was not filled: click inside the outlined area")
    for stage, heatmap in sources(inpainter, edit.photo.rgb, edit.hole, row, column).items():
        top, left, bottom, right = _window_box(heatmap, h, w)
        box = slice(top, bottom), slice(left, right)
        cropped = heatmap._replace(top=heatmap.top - top, left=heatmap.left - left)
        yield stage, pictures.display(overlay(edit.result[box], edit.hole[box], cropped, row - top, column - left))


def _window_box(heatmap: Heatmap, height: int, width: int) -> tuple[int, int, int, int]:
    """Return top, left, bottom and right of the part of the photograph in the heatmap's window."""
    side = heatmap.cell * len(heatmap.weights)
    bottom, right = min(heatmap.top + side, height), min(heatmap.left + side, width)
    return max(heatmap.top, 0), max(heatmap.left, 0), bottom, right
