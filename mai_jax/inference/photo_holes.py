"""The hole of a photograph: from its mask files, or from its transparency."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image
from skimage.morphology import isotropic_dilation, isotropic_erosion

from mai_jax import image_io
from mai_jax.data import images, mask_reader, soft_masks
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


class MaskImage(NamedTuple):
    """A decoded mask and its name. In a JPEG nearly black is black."""

    name: str
    image: Image.Image
    is_jpeg: bool = False


def read_hole(photo: Photo, job: Job, options: Options) -> Hole:
    """Return the union of the mask files, or the photograph's transparency, as a hole.

    Raises InputError if a mask cannot be used, or the hole is empty and `options.allow_empty` is not set.
    """
    if job.masks:
        shape = photo.rgb.shape[:2]
        hole = hole_of_masks(map(read_mask, job.masks), shape, options, photo.name, photo.orientation)
    else:
        hole = hole_from_transparency(photo, options)
    if not hole.pixels.any() and not options.allow_empty:
        raise InputError(nothing_to_fill(job, hole.reading))
    return hole


def read_mask(path: Path) -> MaskImage:
    """Return the mask in a file. Raises InputError."""
    return decode_mask(photo_files.read(path, "a mask file"), photo_files.name_of(path))


def decode_mask(encoded: bytes, name: str) -> MaskImage:
    """Return the mask in a file's content. Raises InputError."""
    return MaskImage(name, images.decode_as_stored(encoded, name), encoded.startswith(b"\xff\xd8"))


def hole_of_masks(
    masks: Iterable[MaskImage], shape: tuple[int, int], options: Options, name: str, orientation: int = 1
) -> Hole:  # fmt: skip
    """Return the union of masks as a hole of a photograph, grown by `options.grow_by`.

    `shape` (height, width), `name` and `orientation` (of EXIF) are those of the photograph. Raises InputError.
    """
    hole, readings, names = np.zeros(shape, bool), [], []
    weight = np.zeros(hole.shape) if options.soft else None
    for mask in masks:
        values, reading = _values(mask, options)
        if options.mask_orientation == "stored":
            values = image_io.apply_orientation(values[..., None], orientation)[..., 0]
        else:
            _check_upright(values.shape, shape, mask.name, name, orientation)
        mask_reader.check_size(mask_reader.Mask(values > 0, reading, 0.0), mask.name, shape)
        hole |= values > 0
        if weight is not None:
            weight = np.maximum(weight, values / 255)
        readings.append(reading)
        names.append(mask.name)
    if hole.mean() > MOSTLY_HOLE:
        other = "valid" if options.mask_means == "hole" else "hole"
        log.warning("%s: %.0f %% of the photograph is hole; if white means %s in it, give --mask-means=%s",
                    ", ".join(names), 100 * hole.mean(), other, other)
    union = f"the union of {len(readings)} masks; in them " if len(readings) > 1 else ""
    return Hole(grow(hole, options.grow_by), union + "; ".join(dict.fromkeys(readings)), weight)


def hole_from_transparency(photo: Photo, options: Options) -> Hole:
    """Return the transparent part of a photograph as a hole. Raises InputError if it has no alpha."""
    if not options.soft:
        return Hole(grow(hole_from_alpha(photo), options.grow_by), "the transparent part is the hole")
    weight = 1 - _alpha(photo) / np.float64(np.iinfo(_alpha(photo).dtype).max)
    return Hole(weight > 0, "the transparency says how much of a pixel is filled", weight)


def nothing_to_fill(job: Job, reading: str) -> str:
    """Return the message for an empty hole."""
    names = ", ".join(map(photo_files.name_of, job.masks)) or photo_files.name_of(job.image)
    return (f"{names}: no pixel is to be filled ({reading}); check the mask, --mask-means and --mask-threshold, or "
            "give --allow-empty to copy such photographs")


def grow(hole: Bool[np.ndarray, "h w"], radius: int) -> Bool[np.ndarray, "h w"]:
    """Return the hole and all pixels within `radius` pixels of it.

    A negative radius shrinks: it removes the pixels within `-radius` pixels of what is kept. The border of the
    photograph is not shrunk from.
    """
    if radius == 0 or not hole.any() or hole.all():
        return hole
    rows, columns = (np.flatnonzero(hole.any(axis)) for axis in (1, 0))
    margin = max(radius, 1)
    box = tuple(slice(max(i[0] - margin, 0), i[-1] + margin + 1) for i in (rows, columns))
    grown = hole.copy()
    grown[box] = isotropic_dilation(hole[box], radius) if radius > 0 else isotropic_erosion(hole[box], -radius)
    return grown


def hole_from_alpha(photo: Photo) -> Bool[np.ndarray, "h w"]:
    """Return True where the photograph is more transparent than opaque. Raises InputError if it has no alpha."""
    return _alpha(photo) <= np.iinfo(_alpha(photo).dtype).max // 2


def _alpha(photo: Photo) -> np.ndarray:
    if photo.alpha is None:
        raise InputError(f"{photo.name}: has no transparency to define its hole; give --mask=FILE")
    return photo.alpha


def _values(mask: MaskImage, options: Options) -> tuple[np.ndarray, str]:
    """Return the weights of a soft mask, or 1 in the hole and 0 elsewhere, and how the mask was read."""
    if options.soft:
        return soft_masks.interpret(mask.image, mask.name, options.mask_means, is_jpeg=mask.is_jpeg)
    found = mask_reader.interpret(mask.image, mask.name, options.mask_means, options.mask_threshold,
                                  threshold_flag="--mask-threshold")
    if found.unclear:
        log.warning("%s: %.1f %% of the pixels are neither black nor white; they are thresholded at one half",
                    mask.name, 100 * found.unclear)
    return found.hole.astype(np.uint8), found.reading


def _check_upright(
    stored: tuple[int, ...], upright: tuple[int, int], mask: str, photo: str, orientation: int
) -> None:  # fmt: skip
    """Raise InputError for a mask of the stored pixels of a photograph that its EXIF tag turns."""
    height, width = stored
    if orientation >= 5 and (width, height) == upright != stored:
        raise InputError(f"{mask}: the mask is {width} x {height}, as the pixels of {photo} are stored, but an EXIF "
                         f"tag turns them to {height} x {width} (width x height); give --mask-orientation=stored")
