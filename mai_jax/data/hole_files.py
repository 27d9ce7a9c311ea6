"""Holes from mask files. Here the word "mask" ends: `known_from_mask` is the one place where its meaning is decided."""

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
from mai_jax.data.folder import find_images, read_file
from mai_jax.types import InputError

NEARLY_BLACK, NEARLY_WHITE = 16, 239  # a JPEG of a black and white mask stays within [0, 16] and [239, 255]
MOSTLY_HOLE = 0.6  # median hole ratio of a folder, above which its polarity is doubted

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HoleBank:
    """Every usable mask of a folder: eight pixels in a byte, so that 55,000 of 256 x 256 take 450 MB.

    `bits` is `np.packbits` of `known` along the last axis, for `draw_from`; `ratios` is the share of hole of each.
    """

    bits: UInt8[np.ndarray, "n s sb"]
    ratios: Float[np.ndarray, "n"]


def known_from_mask(mask: UInt8[np.ndarray, "h w"], mask_means: str) -> Bool[np.ndarray, "h w"]:
    """What is known, of a mask whose white means `mask_means`, "hole" or "known". White is 128 and above."""
    if mask_means not in ("hole", "known"):
        raise InputError(f"mask_means={mask_means!r}: must be hole or known")
    white = mask >= 128
    return white if mask_means == "known" else ~white


def read_mask(path: str | Path) -> UInt8[np.ndarray, "h w"]:
    """The grey values of a mask file of any mode, upright. Warns of what `known_from_mask` will make black or white."""
    mask = read_grey(Path(path))
    if grey := grey_share(mask):
        log.warning("%s: %.1f %% of the pixels are neither black nor white; they are cut at one half", path, 100 * grey)
    return mask


def read_known(path: str | Path, size_hw: tuple[int, int], mask_means: str) -> Bool[np.ndarray, "h w"]:
    """What is known of an image of height and width `size_hw`. Raises InputError for a mask of another size."""
    mask = read_mask(path)
    if mask.shape != tuple(size_hw):
        (mask_h, mask_w), (h, w) = mask.shape, size_hw
        raise InputError(f"{path}: the mask is {mask_w} x {mask_h} and its image {w} x {h} (width x height); "
                         "draw it on the image, in the image's size")
    return known_from_mask(mask, mask_means)


def load(folder: str, image_size: int, holes: Holes) -> HoleBank:
    """All mask files below `folder`, in sorted order, resized by nearest neighbour to a square of `image_size`.

    Leaves out, and says so, the masks whose hole ratio is not in [min_ratio, max_ratio]. Warns of grey masks and of a
    folder whose polarity seems to be the opposite. Raises InputError if a file is no image or no mask is left.
    """
    paths = [Path(folder).expanduser() / name for name in find_images(folder, "mask folder")]
    with ThreadPoolExecutor() as pool:
        read = pool.map(_reader(image_size, holes.mask_means), paths)
        known, grey = zip(*tqdm(read, desc="masks", total=len(paths), disable=len(paths) < 1000), strict=True)
    if any(grey):
        log.warning("%s: %d of %d masks hold pixels that are neither black nor white (%.1f %% of all); they are cut at "
                    "one half", folder, np.count_nonzero(grey), len(grey), 100 * np.mean(grey))
    packed = np.stack(known)
    bank = HoleBank(packed, 1 - np.bitwise_count(packed).mean((1, 2)) / 8)
    kept = _in_range(bank.ratios, holes)
    _doubt_polarity(folder, bank.ratios, holes)
    wanted = f"[{holes.min_ratio}, {holes.max_ratio}]"
    if not kept.any():
        raise InputError(f"{folder}: none of its {len(kept)} masks has a hole ratio in {wanted}, "
                         f"their median is {np.median(bank.ratios):.2f}; change config.holes or the folder")
    if not kept.all():
        log.warning("%s: %d of %d masks are left out, their hole ratio is not in %s", folder, np.sum(~kept), len(kept),
                    wanted)
    return HoleBank(bank.bits[kept], bank.ratios[kept])


def draw_from(bits: UInt8[Array, "n s sb"], key: PRNGKeyArray) -> Float[Array, "s s 1"]:
    """One `known` out of a bank's packed ones, under one of the eight symmetries of the square, all equally likely."""
    for_choice, for_symmetry = random.split(key)
    packed = bits[random.randint(for_choice, (), 0, bits.shape[0])]
    square = jnp.unpackbits(packed, axis=-1)
    upside_down, mirrored, transposed = random.bernoulli(for_symmetry, shape=(3,))
    square = jnp.where(upside_down, square[::-1], square)
    square = jnp.where(mirrored, square[:, ::-1], square)
    square = jnp.where(transposed, square.T, square)
    return square[..., None].astype(jnp.float32)


def read_grey(path: Path) -> UInt8[np.ndarray, "h w"]:
    """The grey values of a mask file of any mode, upright, without a warning. Raises InputError."""
    try:
        return images.decode_grey(read_file(path), str(path))
    except OSError as reason:
        raise InputError(f"{path}: cannot be read ({reason.strerror}); name a mask file") from reason


def squared(mask: UInt8[np.ndarray, "h w"], size: int) -> UInt8[np.ndarray, "s s"]:
    """The mask resized by nearest neighbour; one that is no square is squeezed."""
    return np.asarray(Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST))


def grey_share(mask: UInt8[np.ndarray, "h w"]) -> float:
    """The share of pixels that are neither black nor white."""
    return float(np.mean((mask > NEARLY_BLACK) & (mask < NEARLY_WHITE)))


def _reader(size: int, mask_means: str) -> Callable[[Path], tuple[np.ndarray, float]]:
    def read(path):
        mask = read_grey(path)
        known = known_from_mask(squared(mask, size), mask_means)
        return np.packbits(known, axis=-1), grey_share(mask)

    return read


def _in_range(ratio: Float[np.ndarray, "*n"], holes: Holes) -> Bool[np.ndarray, "*n"]:
    return (holes.min_ratio <= ratio) & (ratio <= holes.max_ratio)


def _doubt_polarity(folder: str, ratio: Float[np.ndarray, "n"], holes: Holes) -> None:
    median = np.median(ratio)
    if median > MOSTLY_HOLE and holes.min_ratio <= 1 - median <= holes.max_ratio:
        other = {"hole": "known", "known": "hole"}[holes.mask_means]
        log.warning("%s: half of the masks have more than %.0f %% hole; if white means %s in them, give "
                    "--config.holes.mask_means=%s", folder, 100 * median, other, other)
