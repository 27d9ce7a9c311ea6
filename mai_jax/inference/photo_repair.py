"""Filling of one photograph, from file to file."""

import io
import logging
from typing import Literal, NamedTuple

import numpy as np
from scipy import ndimage

from mai_jax import image_io
from mai_jax.image_io import Photo
from mai_jax.inference import Inpainter, attention_maps, blending, photo_files, provenance
from mai_jax.inference.options import Options
from mai_jax.inference.photo_holes import MOSTLY_HOLE as MOSTLY_HOLE
from mai_jax.inference.photo_holes import Hole, read_hole
from mai_jax.inference.photo_holes import grow as grow
from mai_jax.inference.photo_holes import hole_from_alpha as hole_from_alpha
from mai_jax.inference.photo_jobs import Job
from mai_jax.inference.tiling import Pixels

log = logging.getLogger(__name__)


class Repair(NamedTuple):
    """What `fill` did: `status` is "filled", or "unchanged" if the hole is empty; `reading` is how the mask was read.

    `holes` is the number of connected parts of the hole, `share` the hole ratio of the photograph.
    """

    status: Literal["filled", "unchanged"]
    reading: str
    holes: int
    share: float


DEFAULT = Options()


def fill(inpainter: Inpainter, job: Job, options: Options = DEFAULT) -> Repair:
    """Write the photograph with its hole filled.

    The format is `options.format`, or that of the output's name, or that of the photograph. Raises InputError if a file
    cannot be used or the hole is empty; then nothing is written. With `options.allow_empty` the photograph is copied if
    its hole is empty.
    """
    photo = image_io.decode(photo_files.read(job.image), photo_files.name_of(job.image))
    target = photo_files.format_of_result(job, photo.format, options)
    if image_io.FORMAT_OF_SUFFIX.get(job.image.suffix.lower(), photo.format) != photo.format and not options.format:
        log.warning("%s: is a %s file by its content, and so is a result of that name", job.image, photo.format)
    hole = read_hole(photo, job, options)
    filled = fill_pixels(inpainter, photo.rgb, hole, options)
    if hole.pixels.any() or target != photo.format:
        encoded = image_io.encode(photo, filled, hole.pixels, opaque_hole=not job.masks, format=target,
                                  quality=options.quality, lossless=options.lossless)
    else:
        encoded = photo.source
    picture = _attention_picture(inpainter, photo, filled, hole.pixels) if options.attention else None
    photo_files.write(job.output, encoded, picture)
    return _repair(hole)


def fill_pixels(inpainter: Inpainter, image: Pixels, hole: Hole, options: Options) -> Pixels:
    """Return the photograph with its hole filled and blended."""
    if not hole.pixels.any():
        return image
    filled = blending.blend(image, hole.pixels, inpainter(image, hole.pixels), options.blend)
    return hole.mix(image, filled)


def _repair(hole: Hole) -> Repair:
    rows, columns = (np.flatnonzero(hole.pixels.any(axis)) for axis in (1, 0))
    if not len(rows):
        return Repair("unchanged", hole.reading, 0, 0.0)
    box = hole.pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Repair("filled", hole.reading, ndimage.label(box, np.ones((3, 3)))[1], float(hole.pixels.mean()))


def _attention_picture(inpainter: Inpainter, photo: Photo, filled: np.ndarray, hole: np.ndarray) -> bytes:
    file = io.BytesIO()
    traces = provenance.trace(inpainter, photo.rgb, hole)
    attention_maps.figure(photo.rgb, filled, hole, traces).save(file, "PNG")
    return file.getvalue()
