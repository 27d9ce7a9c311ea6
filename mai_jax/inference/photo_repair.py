"""Filling of one photograph, from file to file."""

import errno
import io
import logging
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool
from skimage.morphology import isotropic_dilation

from mai_jax import image_io
from mai_jax.data import mask_reader
from mai_jax.errors import InputError
from mai_jax.files import read_file, write_atomically
from mai_jax.image_io import Photo
from mai_jax.inference import Inpainter, attention_maps, blending, provenance
from mai_jax.inference.photo_jobs import Job

MOSTLY_HOLE = 0.6  # hole ratio above which a warning suggests the opposite mask polarity

log = logging.getLogger(__name__)


class Repair(NamedTuple):
    """What `fill` did: `status` is "filled", or "unchanged" if the hole is empty; `reading` is how the mask was read.

    `share` is the hole ratio of the photograph.
    """

    status: Literal["filled", "unchanged"]
    reading: str
    share: float


def fill(
    inpainter: Inpainter, job: Job, *, mask_means: str = "hole", mask_threshold: int | None = None,
    mask_orientation: str = "upright", grow_by: int = 0, attention: bool = False, allow_empty: bool = False,
    blend: str = blending.DEFAULT,
) -> Repair:  # fmt: skip
    """Write the photograph with its hole, grown by `grow_by` pixels, filled.

    `mask_means` and `mask_threshold` are those of `mask_reader.read`. `mask_orientation` is "stored" for masks drawn on
    the pixels as they are stored in a file whose EXIF tag turns them. `blend` is that of `blending.blend`. If the
    suffix of `job.output` differs, the format is converted. `attention` also writes <name>_attention.png, a picture of
    the source of each filled pixel (see `provenance`). Raises InputError if a file cannot be used, or if the hole is
    empty; then nothing is written. With `allow_empty` the photograph is copied if its hole is empty.
    """
    photo = image_io.decode(_read(job.image), str(job.image))
    if image_io.FORMAT_OF_SUFFIX.get(job.image.suffix.lower(), photo.format) != photo.format:
        log.warning("%s: is a %s file by its content, and so is a result of that name", job.image, photo.format)
    hole, reading = _read_hole(photo, job, mask_means, mask_threshold, is_stored=mask_orientation == "stored")
    hole = grow(hole, grow_by)
    if not hole.any() and not allow_empty:
        raise InputError(f"{_name_of_masks(job)}: no pixel is to be filled ({reading}); check the mask, --mask-means "
                         "and --mask-threshold, or give --allow-empty to copy such photographs")
    filled = blending.blend(photo.rgb, hole, inpainter(photo.rgb, hole), blend) if hole.any() else photo.rgb
    same_format = job.output.suffix.lower() == job.image.suffix.lower()
    if same_format and not hole.any():
        encoded = photo.source
    else:
        encoded = image_io.encode(photo, filled, hole, opaque_hole=not job.masks,
                                  format=None if same_format else _format_of(job.output))
    picture = _attention_picture(inpainter, photo, filled, hole) if attention else None
    _write(job.output, encoded, picture)
    return Repair("filled" if hole.any() else "unchanged", reading, float(hole.mean()))


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


def _read_hole(
    photo: Photo, job: Job, mask_means: str, threshold: int | None, *, is_stored: bool
) -> tuple[Bool[np.ndarray, "h w"], str]:  # fmt: skip
    """Return the union of the mask files, or the photograph's transparency, and how they were read."""
    if not job.masks:
        return hole_from_alpha(photo), "the transparent part is the hole"
    hole, readings = np.zeros(photo.rgb.shape[:2], bool), []
    for path in job.masks:
        mask = mask_reader.read_file(path, mask_means, threshold, threshold_flag="--mask-threshold")
        mask = mask._replace(hole=_upright(mask.hole, path, photo, is_stored=is_stored))
        mask_reader.check_size(mask, str(path), hole.shape)
        if mask.unclear:
            log.warning("%s: %.1f %% of the pixels are neither black nor white; they are thresholded at one half", path,
                        100 * mask.unclear)
        hole |= mask.hole
        readings.append(mask.reading)
    if hole.mean() > MOSTLY_HOLE:
        other = "valid" if mask_means == "hole" else "hole"
        log.warning("%s: %.0f %% of the photograph is hole; if white means %s in it, give --mask-means=%s",
                    _name_of_masks(job), 100 * hole.mean(), other, other)
    union = f"the union of {len(readings)} masks; in them " if len(readings) > 1 else ""
    return hole, union + "; ".join(dict.fromkeys(readings))


def _upright(hole: Bool[np.ndarray, "a b"], path: Path, photo: Photo, *, is_stored: bool) -> Bool[np.ndarray, "h w"]:
    """Return the hole turned as the photograph. Raises InputError for one of the stored pixels unless `is_stored`."""
    if is_stored:
        return image_io.apply_orientation(hole[..., None].astype(np.uint8), photo.orientation)[..., 0] > 0
    (height, width), upright = hole.shape, photo.rgb.shape[:2]
    if photo.orientation >= 5 and (width, height) == upright != (height, width):
        raise InputError(f"{path}: the mask is {width} x {height}, as the pixels of {photo.name} are stored, but an "
                         f"EXIF tag turns them to {height} x {width} (width x height); give --mask-orientation=stored")
    return hole


def _name_of_masks(job: Job) -> str:
    return ", ".join(map(str, job.masks)) or str(job.image)


def _write(output: Path, encoded: bytes, picture: bytes | None) -> None:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if picture:  # first, because a result that exists is not computed again
            write_atomically(output.with_name(f"{output.stem}_attention.png"), picture)
        write_atomically(output, encoded)
    except OSError as reason:
        is_too_long = reason.errno == errno.ENAMETOOLONG
        advice = "give a shorter name" if is_too_long else "give another --output or free some space"
        raise InputError(f"{reason.filename or output}: cannot be written ({reason.strerror}); {advice}") from reason


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
