"""Filling of one photograph, from file to file."""

import io
import logging
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from skimage.morphology import isotropic_dilation

from mai_jax import image_io
from mai_jax.data import mask_files
from mai_jax.errors import InputError
from mai_jax.files import read_file, write_atomically
from mai_jax.image_io import Photo
from mai_jax.inference import Inpainter, attention_maps, provenance
from mai_jax.inference.photo_jobs import Job

MOSTLY_HOLE = 0.6  # hole ratio above which a warning suggests the opposite mask polarity

log = logging.getLogger(__name__)


def fill(
    inpainter: Inpainter, job: Job, *, mask_means: str = "hole", grow_by: int = 0, attention: bool = False
) -> None:
    """Write the photograph with its hole, grown by `grow_by` pixels, filled.

    If the suffix of `job.output` differs, the format is converted. `attention` also writes <name>_attention.png, a
    picture of the source of each filled pixel (see `provenance`). Raises InputError if a file cannot be used; then
    nothing is written.
    """
    photo = image_io.decode(_read(job.image), str(job.image))
    hole = grow(_read_hole(photo, job, mask_means), grow_by)
    if not hole.any():
        log.warning("%s: its mask has no hole; nothing is filled", job.image)
    filled = inpainter(photo.rgb, hole)
    same_format = job.output.suffix.lower() == job.image.suffix.lower()
    encoded = image_io.encode(photo, filled, hole, opaque_hole=job.mask is None,
                              format=None if same_format else _format_of(job.output))
    picture = _attention_picture(inpainter, photo, filled, hole) if attention else None
    try:
        job.output.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(job.output, encoded)
        if picture:
            write_atomically(job.output.with_name(f"{job.output.stem}_attention.png"), picture)
    except OSError as reason:
        raise InputError(f"{reason.filename or job.output}: cannot be written ({reason.strerror}); "
                         "give another --output or free some space") from reason


def grow(hole: Bool[np.ndarray, "h w"], radius: int) -> Bool[np.ndarray, "h w"]:
    """Return the hole and all pixels within `radius` pixels of it."""
    if radius == 0 or not hole.any():
        return hole
    rows, columns = (np.flatnonzero(hole.any(axis)) for axis in (1, 0))
    box = tuple(slice(max(i[0] - radius, 0), i[-1] + radius + 1) for i in (rows, columns))
    grown = hole.copy()
    grown[box] = isotropic_dilation(hole[box], radius)
    return grown


def hole_from_alpha(photo: Photo) -> Bool[np.ndarray, "h w"]:
    """Return True where the photograph is more transparent than opaque. Raises InputError if it has no alpha."""
    if photo.alpha is None:
        raise InputError(f"{photo.name}: has no transparency to define its hole; give --mask=FILE")
    return photo.alpha <= np.iinfo(photo.alpha.dtype).max // 2


def _read_hole(photo: Photo, job: Job, mask_means: str) -> Bool[np.ndarray, "h w"]:
    if job.mask is None:
        return hole_from_alpha(photo)
    hole = ~mask_files.read_valid(job.mask, photo.rgb.shape[:2], mask_means)
    if hole.mean() > MOSTLY_HOLE:
        other = "valid" if mask_means == "hole" else "hole"
        log.warning("%s: %.0f %% of the photograph is hole; if white means %s in it, give --mask_means=%s", job.mask,
                    100 * hole.mean(), other, other)
    return hole


def _read(path: Path) -> bytes:
    try:
        return read_file(path)
    except OSError as reason:
        raise InputError(f"{path}: cannot be read ({reason.strerror}); give a photograph") from reason


def _format_of(output: Path) -> str:
    suffix = output.suffix.lower()
    if suffix not in image_io.FORMAT_OF_SUFFIX:
        raise InputError(f"{output}: unknown format; end the name in one of {' '.join(image_io.FORMAT_OF_SUFFIX)}")
    return image_io.FORMAT_OF_SUFFIX[suffix]


def _attention_picture(inpainter: Inpainter, photo: Photo, filled: np.ndarray, hole: np.ndarray) -> bytes:
    file = io.BytesIO()
    traces = provenance.trace(inpainter, photo.rgb, hole)
    attention_maps.figure(photo.rgb, filled, hole, traces).save(file, "PNG")
    return file.getvalue()
