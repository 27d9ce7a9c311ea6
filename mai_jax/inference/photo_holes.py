"""The hole of a photograph: from its mask files, or from its transparency."""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from skimage.morphology import isotropic_dilation

from mai_jax import image_io
from mai_jax.data import mask_reader, soft_masks
from mai_jax.errors import InputError
from mai_jax.image_io import Photo
from mai_jax.inference import photo_files
from mai_jax.inference.options import Options
from mai_jax.inference.photo_jobs import Job
from mai_jax.inference.tiling import Pixels

MOSTLY_HOLE = 0.6  # hole ratio above which a warning suggests the opposite mask polarity

log = logging.getLogger(__name__)


class Hole(NamedTuple):
    """The pixels to fill, and how the mask was read.

    `weight`, in [0, 1], is the part of the fill in the result; None: the result is the fill.
    """

    pixels: Bool[np.ndarray, "h w"]
    reading: str
    weight: Float[np.ndarray, "h w"] | None = None

    def mix(self, image: Pixels, filled: Pixels) -> Pixels:
        """Return `filled`, or its mixture with the photograph by `weight`."""
        if self.weight is None:
            return filled
        mixed, weight = image.copy(), self.weight[self.pixels][:, None]
        mixture = weight * filled[self.pixels] + (1 - weight) * image[self.pixels]
        mixed[self.pixels] = np.floor(mixture + 0.5).astype(image.dtype)
        return mixed


def read_hole(photo: Photo, job: Job, options: Options) -> Hole:
    """Return the union of the mask files, or the photograph's transparency, as a hole.

    Raises InputError if a mask cannot be used, or the hole is empty and `options.allow_empty` is not set.
    """
    hole = _from_files(photo, job, options) if job.masks else _from_alpha(photo, soft=options.soft)
    if hole.pixels.mean() > MOSTLY_HOLE and job.masks:
        other = "valid" if options.mask_means == "hole" else "hole"
        log.warning("%s: %.0f %% of the photograph is hole; if white means %s in it, give --mask-means=%s",
                    name_of_masks(job), 100 * hole.pixels.mean(), other, other)
    hole = hole._replace(pixels=grow(hole.pixels, options.grow_by))
    if not hole.pixels.any() and not options.allow_empty:
        raise InputError(f"{name_of_masks(job)}: no pixel is to be filled ({hole.reading}); check the mask, "
                         "--mask-means and --mask-threshold, or give --allow-empty to copy such photographs")
    return hole


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
    return _alpha(photo) <= np.iinfo(_alpha(photo).dtype).max // 2


def name_of_masks(job: Job) -> str:
    """Return the names of the files that define the hole, for messages."""
    return ", ".join(map(photo_files.name_of, job.masks)) or photo_files.name_of(job.image)


def _alpha(photo: Photo) -> np.ndarray:
    if photo.alpha is None:
        raise InputError(f"{photo.name}: has no transparency to define its hole; give --mask=FILE")
    return photo.alpha


def _from_alpha(photo: Photo, *, soft: bool) -> Hole:
    if not soft:
        return Hole(hole_from_alpha(photo), "the transparent part is the hole")
    weight = 1 - _alpha(photo) / np.float64(np.iinfo(_alpha(photo).dtype).max)
    return Hole(weight > 0, "the transparency says how much of a pixel is filled", weight)


def _from_files(photo: Photo, job: Job, options: Options) -> Hole:
    hole, readings = np.zeros(photo.rgb.shape[:2], bool), []
    weight = np.zeros(hole.shape) if options.soft else None
    for path in job.masks:
        encoded, name = photo_files.read(path, "a mask file"), photo_files.name_of(path)
        if weight is not None:
            soft = soft_masks.read(encoded, name, options.mask_means)
            values, reading = soft.weight, soft.reading
        else:
            mask = mask_reader.read(encoded, name, options.mask_means, options.mask_threshold,
                                    threshold_flag="--mask-threshold")
            values, reading = mask.hole.astype(np.uint8), mask.reading
            if mask.unclear:
                log.warning("%s: %.1f %% of the pixels are neither black nor white; they are thresholded at one half",
                            name, 100 * mask.unclear)
        values = _upright(values, path, photo, is_stored=options.mask_orientation == "stored")
        mask_reader.check_size(mask_reader.Mask(values > 0, reading, 0.0), name, hole.shape)
        hole |= values > 0
        if weight is not None:
            weight = np.maximum(weight, values / 255)
        readings.append(reading)
    union = f"the union of {len(readings)} masks; in them " if len(readings) > 1 else ""
    return Hole(hole, union + "; ".join(dict.fromkeys(readings)), weight)


def _upright(values: np.ndarray, path: Path, photo: Photo, *, is_stored: bool) -> np.ndarray:
    """Return the mask turned as the photograph. Raises InputError for one of the stored pixels unless `is_stored`."""
    if is_stored:
        return image_io.apply_orientation(values[..., None], photo.orientation)[..., 0]
    (height, width), upright = values.shape, photo.rgb.shape[:2]
    if photo.orientation >= 5 and (width, height) == upright != (height, width):
        raise InputError(f"{photo_files.name_of(path)}: the mask is {width} x {height}, as the pixels of {photo.name} "
                         f"are stored, but an EXIF tag turns them to {height} x {width} (width x height); give "
                         "--mask-orientation=stored")
    return values
