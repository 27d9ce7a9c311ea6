"""Filling of one photograph, or one file of several frames, from file to file."""

import io
import logging

import numpy as np

from mai_jax import image_io
from mai_jax.errors import InputError
from mai_jax.image_io import Photo
from mai_jax.inference import Inpainter, attention_maps, frame_repair, photo_files, provenance
from mai_jax.inference.filling import Repair, count_parts, fill_pixels
from mai_jax.inference.options import Options
from mai_jax.inference.photo_holes import read_hole
from mai_jax.inference.photo_jobs import Job

log = logging.getLogger(__name__)

DEFAULT = Options()


def fill(
    inpainter: Inpainter, job: Job, options: Options = DEFAULT, progress: frame_repair.Progress = frame_repair.SILENT
) -> Repair:  # fmt: skip
    """Write the photograph, or with `options.frames` all its frames, with its hole filled.

    The format is `options.format`, or that of the output's name, or that of the photograph. Raises InputError if a file
    cannot be used or the hole is empty; then nothing is written. With `options.allow_empty` the photograph is copied if
    its hole is empty. `progress` wraps the frames of a file of several.
    """
    source, name = photo_files.read(job.image), photo_files.name_of(job.image)
    if image_io.is_several(source):
        if not options.frames:
            raise InputError(f"{name}: has several frames or pages; --frames fills all of them, or save one of them as "
                             "a separate file")
        encoded, repair = frame_repair.fill(inpainter, source, job, options, progress)
        photo_files.write(job.output, encoded)
        return repair
    photo = image_io.decode(source, name)
    target = photo_files.format_of_result(job, photo.format, options)
    if image_io.FORMAT_OF_SUFFIX.get(job.image.suffix.lower(), photo.format) != photo.format and not options.format:
        log.warning("%s: is a %s file by its content, and so is a result of that name", job.image, photo.format)
    hole = read_hole(photo, job, options)
    filled = fill_pixels(inpainter, photo.rgb, hole, options)
    if hole.pixels.any() or target != photo.format:
        encoded = image_io.encode(photo, filled, hole.pixels, opaque_hole=not job.masks, format=target,
                                  quality=options.quality, lossless=options.lossless)
    else:
        encoded = source
    picture = _attention_picture(inpainter, photo, filled, hole.pixels) if options.attention else None
    photo_files.write(job.output, encoded, picture)
    return Repair("filled" if hole.pixels.any() else "unchanged", hole.reading, count_parts(hole.pixels),
                  float(hole.pixels.mean()))


def _attention_picture(inpainter: Inpainter, photo: Photo, filled: np.ndarray, hole: np.ndarray) -> bytes:
    file = io.BytesIO()
    traces = provenance.trace(inpainter, photo.rgb, hole)
    attention_maps.figure(photo.rgb, filled, hole, traces).save(file, "PNG")
    return file.getvalue()
