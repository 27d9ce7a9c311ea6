"""One photograph from file to file."""

import io
import logging
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from skimage.morphology import isotropic_dilation

from mai_jax import photos
from mai_jax.data import hole_files
from mai_jax.data.folder import read_file
from mai_jax.files import write_whole
from mai_jax.inference import Inpainter, attention_map, provenance
from mai_jax.photos import Photo
from mai_jax.repair.jobs import Job
from mai_jax.types import InputError

MOSTLY_HOLE = 0.6  # share of hole above which the mask's polarity is doubted

log = logging.getLogger(__name__)


def fill(
    inpainter: Inpainter, job: Job, *, mask_means: str = "hole", grow_by: int = 0, attention: bool = False
) -> None:
    """Writes the photograph with its hole, grown by `grow_by` pixels, filled. A new suffix means a new format.

    With `attention` also writes <name>_attention.png: where each filled pixel was taken from (see `provenance`).
    Raises InputError if a file cannot be used; then nothing is written.
    """
    photo = photos.decode(_read(job.image), str(job.image))
    hole = grow(_hole(photo, job, mask_means), grow_by)
    if not hole.any():
        log.warning("%s: its mask has no hole; nothing is painted", job.image)
    filled = inpainter(photo.rgb, hole)
    kept = job.output.suffix.lower() == job.image.suffix.lower()
    encoded = photos.encode(photo, filled, hole, opaque_hole=job.mask is None,
                            format=None if kept else _format(job.output))
    picture = _attention_picture(inpainter, photo, filled, hole) if attention else None
    try:
        job.output.parent.mkdir(parents=True, exist_ok=True)
        write_whole(job.output, encoded)
        if picture:
            write_whole(job.output.with_name(f"{job.output.stem}_attention.png"), picture)
    except OSError as reason:
        raise InputError(f"{reason.filename or job.output}: cannot be written ({reason.strerror}); "
                         "name another --output or make room") from reason


def grow(hole: Bool[np.ndarray, "h w"], by: int) -> Bool[np.ndarray, "h w"]:
    """The hole and all pixels within `by` pixels of it."""
    if by == 0 or not hole.any():
        return hole
    rows, columns = (np.flatnonzero(hole.any(axis)) for axis in (1, 0))
    around = tuple(slice(max(i[0] - by, 0), i[-1] + by + 1) for i in (rows, columns))
    grown = hole.copy()
    grown[around] = isotropic_dilation(hole[around], by)
    return grown


def transparent(photo: Photo) -> Bool[np.ndarray, "h w"]:
    """Where the photograph is more transparent than opaque. Raises InputError for one without transparency."""
    if photo.alpha is None:
        raise InputError(f"{photo.name}: has no transparency to say where its hole is; give --mask=FILE")
    return photo.alpha <= np.iinfo(photo.alpha.dtype).max // 2


def _hole(photo: Photo, job: Job, mask_means: str) -> Bool[np.ndarray, "h w"]:
    if job.mask is None:
        return transparent(photo)
    hole = ~hole_files.read_known(job.mask, photo.rgb.shape[:2], mask_means)
    if hole.mean() > MOSTLY_HOLE:
        other = {"hole": "known", "known": "hole"}[mask_means]
        log.warning("%s: %.0f %% of the photograph is hole; if white means %s in it, give --mask_means=%s", job.mask,
                    100 * hole.mean(), other, other)
    return hole


def _read(path: Path) -> bytes:
    try:
        return read_file(path)
    except OSError as reason:
        raise InputError(f"{path}: cannot be read ({reason.strerror}); name a photograph") from reason


def _format(output: Path) -> str:
    suffix = output.suffix.lower()
    if suffix not in photos.FORMAT_OF_SUFFIX:
        raise InputError(f"{output}: unknown format; end the name in one of {' '.join(photos.FORMAT_OF_SUFFIX)}")
    return photos.FORMAT_OF_SUFFIX[suffix]


def _attention_picture(inpainter: Inpainter, photo: Photo, filled: np.ndarray, hole: np.ndarray) -> bytes:
    written = io.BytesIO()
    traces = provenance.trace(inpainter, photo.rgb, hole)
    attention_map.figure(photo.rgb, filled, hole, traces).save(written, "PNG")
    return written.getvalue()
