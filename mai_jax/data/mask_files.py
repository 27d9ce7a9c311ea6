"""Folders of mask files: the mask bank of training, and doubts about a folder's masks. `mask_reader` reads one file."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Bool, Float, PRNGKeyArray, UInt8
from PIL import Image
from tqdm import tqdm

from mai_jax.config import Holes
from mai_jax.data import mask_reader
from mai_jax.errors import InputError
from mai_jax.files import find_images

SUSPECT_RATIO = 0.6  # a median hole ratio of a folder above this suggests the opposite polarity
NUM_READINGS = 4  # listed in the log

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MaskBank:
    """The masks of a folder. Eight pixels are packed in a byte: 55,000 masks of 256 x 256 take 450 MB.

    `bits` is `np.packbits` of `valid` along the last axis, for `sample_valid`; `ratios` are the hole ratios.
    """

    bits: UInt8[np.ndarray, "n s sb"]
    ratios: Float[np.ndarray, "n"]


class MaskTraits(NamedTuple):
    """What `log_doubts` needs to know of a mask: how it was read, its share of unclear pixels, its hole ratio."""

    reading: str
    unclear: float
    ratio: float


def load(folder: str, image_size: int, holes: Holes) -> MaskBank:
    """Return all mask files below `folder`, in sorted order, resized by nearest neighbour to a square of `image_size`.

    Masks whose hole ratio is not in [min_ratio, max_ratio] are skipped, with a warning. Logs how the masks were read,
    and doubts (`log_doubts`). Raises InputError if a file is not understood as a mask or no mask is left.
    """
    paths = [Path(folder).expanduser() / name for name in find_images(folder, "mask folder")]
    with ThreadPoolExecutor() as pool:
        results = pool.map(_reader(image_size, holes.mask_means), paths)
        valid, traits = zip(*tqdm(results, desc="masks", total=len(paths), disable=len(paths) < 1000), strict=True)
    packed = np.stack(valid)
    mask_bank = MaskBank(packed, 1 - np.bitwise_count(packed).mean((1, 2)) / 8)
    kept = _in_range(mask_bank.ratios, holes)
    median = np.median(mask_bank.ratios)
    is_inverse_usable = holes.min_ratio <= 1 - median <= holes.max_ratio
    log_doubts(folder, traits, "--config.holes.mask_means" if is_inverse_usable else "", holes.mask_means)
    allowed = f"[{holes.min_ratio}, {holes.max_ratio}]"
    if not kept.any():
        raise InputError(f"{folder}: none of its {len(kept)} masks has a hole ratio in {allowed}, "
                         f"their median is {median:.2f}; change config.holes or the folder")
    if not kept.all():
        log.warning("%s: %d of %d masks are skipped: their hole ratio is not in %s", folder, np.sum(~kept), len(kept),
                    allowed)
    return MaskBank(mask_bank.bits[kept], mask_bank.ratios[kept])


def log_doubts(folder: str, masks: Sequence[MaskTraits], flag: str, mask_means: str) -> None:
    """Log how the masks of a folder were read, and warn of what suggests that they were not meant like that.

    These are grey pixels, masks without a hole, and a folder that seems to have the opposite polarity, which `flag`
    changes; no warning of the polarity if `flag` is "".
    """
    log.info("%s: %s", folder, summary([mask.reading for mask in masks]))
    unclear = [mask.unclear for mask in masks]
    if any(unclear):
        log.warning("%s: %d of %d masks have pixels that are neither black nor white (%.1f %% of all); they are "
                    "thresholded at one half", folder, np.count_nonzero(unclear), len(masks), 100 * np.mean(unclear))
    if empty := sum(mask.ratio == 0 for mask in masks):
        log.warning("%s: %d of %d masks have no hole", folder, empty, len(masks))
    median = np.median([mask.ratio for mask in masks])
    if median > SUSPECT_RATIO and flag:
        other = "valid" if mask_means == "hole" else "hole"
        log.warning("%s: half of the masks have more than %.0f %% hole; if white means %s in them, give %s=%s", folder,
                    100 * median, other, flag, other)


def summary(readings: Sequence[str]) -> str:
    """Return how the masks of a folder were read, the most frequent reading first."""
    counts = Counter(readings).most_common(NUM_READINGS)
    return "; ".join(f"{reading} (in {count} of {len(readings)} masks)" for reading, count in counts)


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


def resize_to_square(hole: Bool[np.ndarray, "h w"], size: int) -> Bool[np.ndarray, "s s"]:
    """Return the hole resized to `size` x `size` by nearest neighbour, ignoring its aspect ratio."""
    return np.asarray(Image.fromarray(hole).resize((size, size), Image.Resampling.NEAREST))


def _reader(size: int, mask_means: str) -> Callable[[Path], tuple[np.ndarray, MaskTraits]]:
    def read(path):
        mask = mask_reader.read_file(path, mask_means)
        valid = ~resize_to_square(mask.hole, size)
        return np.packbits(valid, axis=-1), MaskTraits(mask.reading, mask.unclear, 1 - valid.mean())

    return read


def _in_range(ratio: Float[np.ndarray, "*n"], holes: Holes) -> Bool[np.ndarray, "*n"]:
    return (holes.min_ratio <= ratio) & (ratio <= holes.max_ratio)
