"""Mask files, and their conversion to `valid`: `valid_from_mask` is the only place that interprets their polarity."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Bool, Float, PRNGKeyArray, UInt8
from PIL import Image
from tqdm import tqdm

from mai_jax.config import Holes
from mai_jax.data import images
from mai_jax.errors import InputError
from mai_jax.files import find_images, read_file

MAX_BLACK, MIN_WHITE = 16, 239  # a JPEG of a black and white mask has values in [0, 16] and [239, 255]
SUSPECT_RATIO = 0.6  # a median hole ratio of a folder above this suggests the opposite polarity

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MaskBank:
    """The masks of a folder. Eight pixels are packed in a byte: 55,000 masks of 256 x 256 take 450 MB.

    `bits` is `np.packbits` of `valid` along the last axis, for `sample_valid`; `ratios` are the hole ratios.
    """

    bits: UInt8[np.ndarray, "n s sb"]
    ratios: Float[np.ndarray, "n"]


def valid_from_mask(mask: UInt8[np.ndarray, "h w"], mask_means: str) -> Bool[np.ndarray, "h w"]:
    """Return True at valid pixels. White (128 and above) in the mask means `mask_means`.

    `mask_means` is "hole" or "valid"; "known" is accepted for "valid". Raises InputError for any other value.
    """
    if mask_means not in ("hole", "valid", "known"):
        raise InputError(f"mask_means={mask_means!r}: must be hole or valid")
    white = mask >= 128
    return ~white if mask_means == "hole" else white


def read_mask(path: str | Path) -> UInt8[np.ndarray, "h w"]:
    """Return the grey values of a mask file as `read_grey`; warn of pixels that are neither black nor white."""
    mask = read_grey(Path(path))
    if grey := grey_share(mask):
        log.warning("%s: %.1f %% of the pixels are neither black nor white; they are thresholded at one half", path,
                    100 * grey)
    return mask


def read_valid(path: str | Path, size_hw: tuple[int, int], mask_means: str) -> Bool[np.ndarray, "h w"]:
    """Return True at valid pixels of an image of (height, width) `size_hw`.

    Raises InputError if the file cannot be read or its size differs from `size_hw`.
    """
    mask = read_mask(path)
    if mask.shape != tuple(size_hw):
        (mask_h, mask_w), (h, w) = mask.shape, size_hw
        raise InputError(f"{path}: the mask is {mask_w} x {mask_h} and its image {w} x {h} (width x height); "
                         "draw it on the image, in the image's size")
    return valid_from_mask(mask, mask_means)


def load(folder: str, image_size: int, holes: Holes) -> MaskBank:
    """Return all mask files below `folder`, in sorted order, resized by nearest neighbour to a square of `image_size`.

    Masks whose hole ratio is not in [min_ratio, max_ratio] are skipped, with a warning. Warns also of grey masks and of
    a folder that seems to have the opposite polarity. Raises InputError if a file is not an image or no mask is left.
    """
    paths = [Path(folder).expanduser() / name for name in find_images(folder, "mask folder")]
    with ThreadPoolExecutor() as pool:
        results = pool.map(_reader(image_size, holes.mask_means), paths)
        valid, grey = zip(*tqdm(results, desc="masks", total=len(paths), disable=len(paths) < 1000), strict=True)
    if any(grey):
        log.warning("%s: %d of %d masks have pixels that are neither black nor white (%.1f %% of all); they are "
                    "thresholded at one half", folder, np.count_nonzero(grey), len(grey), 100 * np.mean(grey))
    packed = np.stack(valid)
    mask_bank = MaskBank(packed, 1 - np.bitwise_count(packed).mean((1, 2)) / 8)
    kept = _in_range(mask_bank.ratios, holes)
    _warn_of_polarity(folder, mask_bank.ratios, holes)
    allowed = f"[{holes.min_ratio}, {holes.max_ratio}]"
    if not kept.any():
        raise InputError(f"{folder}: none of its {len(kept)} masks has a hole ratio in {allowed}, "
                         f"their median is {np.median(mask_bank.ratios):.2f}; change config.holes or the folder")
    if not kept.all():
        log.warning("%s: %d of %d masks are skipped: their hole ratio is not in %s", folder, np.sum(~kept), len(kept),
                    allowed)
    return MaskBank(mask_bank.bits[kept], mask_bank.ratios[kept])


def sample_valid(bits: UInt8[Array, "n s sb"], rng: PRNGKeyArray) -> Float[Array, "s s 1"]:
    """Return one `valid` of a bank, under one of the eight symmetries of the square, all uniformly distributed."""
    choice_rng, symmetry_rng = random.split(rng)
    packed = bits[random.randint(choice_rng, (), 0, bits.shape[0])]
    square = jnp.unpackbits(packed, axis=-1)
    flip_rows, flip_columns, transpose = random.bernoulli(symmetry_rng, shape=(3,))
    square = jnp.where(flip_rows, square[::-1], square)
    square = jnp.where(flip_columns, square[:, ::-1], square)
    square = jnp.where(transpose, square.T, square)
    return square[..., None].astype(jnp.float32)


def read_grey(path: Path) -> UInt8[np.ndarray, "h w"]:
    """Return the grey values of a mask file of any mode, with its EXIF orientation applied. Raises InputError."""
    try:
        return images.decode_grey(read_file(path), str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a mask file") from error


def resize_to_square(mask: UInt8[np.ndarray, "h w"], size: int) -> UInt8[np.ndarray, "s s"]:
    """Return the mask resized to `size` x `size` by nearest neighbour, ignoring its aspect ratio."""
    return np.asarray(Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST))


def grey_share(mask: UInt8[np.ndarray, "h w"]) -> float:
    """Return the share of pixels that are neither black nor white."""
    return float(np.mean((mask > MAX_BLACK) & (mask < MIN_WHITE)))


def _reader(size: int, mask_means: str) -> Callable[[Path], tuple[np.ndarray, float]]:
    def read(path):
        mask = read_grey(path)
        valid = valid_from_mask(resize_to_square(mask, size), mask_means)
        return np.packbits(valid, axis=-1), grey_share(mask)

    return read


def _in_range(ratio: Float[np.ndarray, "*n"], holes: Holes) -> Bool[np.ndarray, "*n"]:
    return (holes.min_ratio <= ratio) & (ratio <= holes.max_ratio)


def _warn_of_polarity(folder: str, ratio: Float[np.ndarray, "n"], holes: Holes) -> None:
    median = np.median(ratio)
    if median > SUSPECT_RATIO and holes.min_ratio <= 1 - median <= holes.max_ratio:
        other = "valid" if holes.mask_means == "hole" else "hole"
        log.warning("%s: half of the masks have more than %.0f %% hole; if white means %s in them, give "
                    "--config.holes.mask_means=%s", folder, 100 * median, other, other)
