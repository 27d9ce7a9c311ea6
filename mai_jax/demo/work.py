"""What a visitor of the page does with a photograph, step by step: no web page needed."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from mai_jax import photos
from mai_jax.data import hole_files, images
from mai_jax.demo import pictures
from mai_jax.inference import Inpainter
from mai_jax.inference.attention_map import overlay
from mai_jax.inference.provenance import Heat, sources
from mai_jax.repair.filling import MOSTLY_HOLE, grow, transparent
from mai_jax.types import InputError

Hole = Bool[np.ndarray, "h w"]


class Work(NamedTuple):
    """A photograph and what is known of its hole.

    `given` is the hole without what the brush painted: that of a mask file, and of the photograph's transparency if
    `with_transparent`. `hole` is what was filled, and `result` the filled photograph; both None before.
    """

    photo: photos.Photo
    given: Hole
    with_transparent: bool
    hole: Hole | None = None
    result: pictures.Pixels | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.given.shape


def opened(encoded: bytes, name: str) -> Work:
    """Work on a photograph that has just come. Raises InputError."""
    photo = photos.decode(encoded, name)
    return Work(photo, np.zeros(photo.rgb.shape[:2], bool), False)


def has_transparency(photo: photos.Photo) -> bool:
    """Whether some of the photograph is more transparent than opaque."""
    return photo.alpha is not None and bool(transparent(photo).any())


def with_given(work: Work, encoded: bytes | None, name: str, mask_means: str, *, with_transparent: bool) -> Work:
    """The work with the hole of a mask file, whose white means "hole" or "known", and of the transparency.

    Raises InputError for a file that is no image, and for a mask of another size than the photograph's.
    """
    given = np.zeros(work.size, bool)
    if encoded is not None:
        mask = images.decode_grey(encoded, name)
        if mask.shape != work.size:
            (mask_h, mask_w), (h, w) = mask.shape, work.size
            raise InputError(f"{name}: the mask is {mask_w} x {mask_h} and the photo {w} x {h} (width x height); "
                             "draw it on the photo, in the photo's size")
        given = ~hole_files.known_from_mask(mask, mask_means)
    if with_transparent:
        given |= transparent(work.photo)
    return work._replace(given=given, with_transparent=with_transparent)


def doubt(work: Work, mask_means: str) -> str:
    """A remark if most of the photograph is hole, which white that means the opposite would explain; else ""."""
    share = work.given.mean()
    other = {"hole": "what stays", "known": "the hole"}[mask_means]
    return f"{share:.0%} of the photo is hole. Does white mean {other} in this mask?" if share > MOSTLY_HOLE else ""


def filled(work: Work, inpainter: Inpainter, strokes: str, growth: int) -> Work:
    """The work with all that is given and painted filled, `growth` pixels around it too.

    Raises InputError if that is nothing or everything.
    """
    hole = grow(work.given | pictures.painted(strokes, *work.size), growth)
    if not hole.any():
        raise InputError("there is no hole yet: paint over what should disappear, or give a mask file")
    if hole.all():
        raise InputError("all of the photo is hole: leave something from which it can be filled")
    return work._replace(hole=hole, result=inpainter(work.photo.rgb, hole))


def download(work: Work) -> tuple[str, bytes]:
    """Name and bytes of the filled photograph, in the format in which it came."""
    path = Path(work.photo.name)
    suffix = path.suffix or f".{work.photo.format.lower()}"
    encoded = photos.encode(work.photo, work.result, work.hole, opaque_hole=work.with_transparent)
    return f"{path.stem}_filled{suffix}", encoded


def origins(
    work: Work, inpainter: Inpainter, at: tuple[int, int]
) -> Iterator[tuple[str, UInt8[np.ndarray, "h w 3"]]]:
    """For each attention stage a picture of where around it a spot was taken from; `at` is (x, y) in the shown result.

    Raises InputError for a spot outside the hole.
    """
    high, wide = pictures.shown_size(*work.size)
    (column, row), (h, w) = at, work.size
    row, column = (2 * row + 1) * h // (2 * high), (2 * column + 1) * w // (2 * wide)
    if not (0 <= row < h and 0 <= column < w and work.hole[row, column]):
        raise InputError("that spot is the photo's own: click inside the outlined hole")
    for stage, heat in sources(inpainter, work.photo.rgb, work.hole, row, column).items():
        top, left, bottom, right = _seen(heat, h, w)
        seen = slice(top, bottom), slice(left, right)
        here = heat._replace(top=heat.top - top, left=heat.left - left)
        yield stage, pictures.shown(overlay(work.result[seen], work.hole[seen], here, row - top, column - left))


def _seen(heat: Heat, height: int, width: int) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of the part of the photograph in which the network looked for sources."""
    side = heat.cell * len(heat.weights)
    return max(heat.top, 0), max(heat.left, 0), min(heat.top + side, height), min(heat.left + side, width)
