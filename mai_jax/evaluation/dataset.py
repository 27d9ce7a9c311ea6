"""Evaluation datasets: pairs of an image and a hole, in a fixed order, with random access."""

import hashlib
import itertools
import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8
from tqdm import tqdm

from mai_jax.config import Config
from mai_jax.data import images, mask_files, mask_reader, sources, strokes
from mai_jax.data.hole_sampler import DRAWN
from mai_jax.data.mask_files import MaskTraits, log_doubts
from mai_jax.data.mask_names import photograph_of
from mai_jax.errors import InputError
from mai_jax.evaluation import ratio_bins
from mai_jax.evaluation.mask_benchmark.manifest import Manifest
from mai_jax.files import find_images, read_file

Pixels = UInt8[np.ndarray, "h w 3"]
Hole = Bool[np.ndarray, "h w"]


class Pair(NamedTuple):
    """An image, a hole (True = missing) and, if another program filled it, the prediction in its file.

    `id` names the image, `hole_id` the hole.
    """

    id: str
    hole_id: str
    truth: Pixels
    hole: Hole
    prediction: Pixels | None = None

    @property
    def digest(self) -> str:
        """Return a digest of the pixels of truth and hole: two programs with equal digests had the same input."""
        content = np.array(self.truth.shape).tobytes() + self.truth.tobytes() + np.packbits(self.hole).tobytes()
        return hashlib.sha256(content).hexdigest()[:16]


class EvalDataset(ABC):
    """A sequence of `Pair`s, each read on access."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of pairs."""

    @abstractmethod
    def __getitem__(self, i: int) -> Pair:
        """Return pair `i`."""

    def __iter__(self) -> Iterator[Pair]:
        """Yield the pairs in order."""
        return (self[i] for i in range(len(self)))


class ImageEvalDataset(EvalDataset):
    """The images of a source, each with one hole per ratio bin.

    Images are resized (shorter side) and centre-cropped to the image size of the run. The holes are, in this order of
    precedence: the entries of a mask manifest, of which the image id selects one per bin; the mask files of
    `config.holes.test_masks`, selected by seed and image id; or random strokes, generated from seed and image id.
    """

    def __init__(self, source: sources.Source, config: Config, manifest: Manifest | None = None) -> None:
        self._source = source
        self._size = config.image_size
        if manifest is not None:
            self._hole_of = _manifest_holes(manifest, self._size)
            self._bins = [i for i in range(len(manifest.header.edges) - 1) if manifest.entries_in_bin(i)]
            if not self._bins:
                raise InputError(f"{manifest.folder}: none of its {len(manifest.entries)} masks has a hole ratio in "
                                 f"one of the bins with the edges {manifest.header.edges}; list them with other "
                                 "--edges or the other --mask-means")
        else:
            self._hole_of = _drawn_holes(config) if config.holes.test_masks == DRAWN else _mask_file_holes(config)
            self._bins = list(range(len(config.evaluation.edges) - 1))
        self._image = lru_cache(maxsize=2)(self._read)

    def __len__(self) -> int:
        return len(self._source) * len(self._bins)

    def __getitem__(self, i: int) -> Pair:
        image_id, truth = self._image(i // len(self._bins))
        hole_id, hole = self._hole_of(image_id, self._bins[i % len(self._bins)])
        return Pair(image_id, hole_id, truth, hole)

    def _read(self, i: int) -> tuple[str, Pixels]:
        encoded = self._source[i]
        image = images.decode(encoded["bytes"], encoded["id"])
        return encoded["id"], images.resize_crop(image, self._size, self._size, (0.5, 0.5))


def _drawn_holes(config: Config) -> Callable[[str, int], tuple[str, Hole]]:
    size, seed = config.image_size, config.evaluation.seed
    bins = itertools.pairwise(config.evaluation.edges)
    counts = np.array([ratio_bins.counts_in_bin(lo, hi, size**2) for lo, hi in bins])

    @jax.jit
    def draw(rng: Array, min_count: Array, max_count: Array) -> Float[Array, "h w 1"]:
        count_rng, stroke_rng = jax.random.split(rng)
        count = jax.random.randint(count_rng, (), min_count, max_count + 1)
        return strokes.draw(stroke_rng, (size, size), count / size**2)

    def hole_of(image_id: str, bin_index: int) -> tuple[str, Hole]:
        rng = jax.random.fold_in(_image_rng(seed, image_id), bin_index)
        return f"drawn-{seed}-{bin_index}", np.asarray(draw(rng, *counts[bin_index]))[..., 0] == 0

    return hole_of


def _mask_file_holes(config: Config) -> Callable[[str, int], tuple[str, Hole]]:
    seed = config.evaluation.seed
    mask_bank = mask_files.load(config.holes.test_masks, config.image_size, config.holes).bits
    draw = jax.jit(mask_files.sample_valid)

    def hole_of(image_id: str, bin_index: int) -> tuple[str, Hole]:
        rng = jax.random.fold_in(_image_rng(seed, image_id), bin_index)
        return f"chosen-{seed}-{bin_index}", np.asarray(draw(mask_bank, rng))[..., 0] == 0

    return hole_of


def _manifest_holes(manifest: Manifest, size: int) -> Callable[[str, int], tuple[str, Hole]]:
    def hole_of(image_id: str, bin_index: int) -> tuple[str, Hole]:
        entries = manifest.entries_in_bin(bin_index)
        entry = entries[_hash(image_id) % len(entries)]
        hole = manifest.read_hole(entry)
        if hole.shape != (size, size):
            is_listed = manifest.header.made_by.get("command") == "bin"
            command = f"mai masks bin {manifest.folder} --size={size}" if is_listed else f"mai masks make --size={size}"
            raise InputError(f"{manifest.folder / entry.file}: is {hole.shape[1]} x {hole.shape[0]} pixels and the run "
                             f"has {size}; use `{command}` with the flags of the earlier command")
        return entry.id, hole

    return hole_of


def _image_rng(seed: int, image_id: str) -> Array:
    return jax.random.fold_in(jax.random.key(seed), _hash(image_id))


def _hash(image_id: str) -> int:
    return zlib.crc32(os.fsencode(image_id))


class FolderEvalDataset(EvalDataset):
    """The results of any program: folders of predictions, ground truths and masks.

    Files are matched by their relative path without the extension; a mask may also be named as `mask_names.NAMES` says,
    beside the truths or in a folder of its own. A photograph with several masks gives a pair for each. The prediction
    of a pair has the name of the mask, or that of the photograph if it has one mask. Raises InputError for a file
    without partner, two files with the same name, different sizes, and for images with an alpha channel or 16 bits,
    which no protocol measures.
    """

    def __init__(
        self, prediction: str, truth: str, masks: str, mask_means: str = "hole", mask_threshold: int | None = None
    ) -> None:
        self._masks, self._mask_means, self._mask_threshold = masks, mask_means, mask_threshold
        self._pairs = _match(*(_by_name(folder, flag) for flag, folder in
                               (("--pred", prediction), ("--truth", truth), ("--masks", masks))))

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, i: int) -> Pair:
        paths = self._pairs[i]
        truth = _read_rgb(paths.truth)
        prediction = _read_rgb(paths.prediction)
        if prediction.shape != truth.shape:
            (h, w, _), (truth_h, truth_w, _) = prediction.shape, truth.shape
            raise InputError(f"{paths.prediction}: is {w} x {h} pixels and its truth {truth_w} x {truth_h}; "
                             "save both in the same size")
        mask = self._read_mask(paths)
        mask_reader.check_size(mask, str(paths.mask), truth.shape[:2])
        return Pair(paths.id, paths.hole_id, truth, mask.hole, prediction)

    def check_masks(self) -> None:
        """Read all masks and log how they were read and doubts about them.

        Raises InputError if a file is not understood as a mask, or if no mask has a hole.
        """

        def traits(paths: _Paths) -> MaskTraits:
            mask = self._read_mask(paths)
            return MaskTraits(mask.reading, mask.unclear, float(mask.hole.mean()))

        with ThreadPoolExecutor() as pool:
            found = list(tqdm(pool.map(traits, self._pairs), desc="masks", total=len(self), disable=len(self) < 1000))
        log_doubts(self._masks, found, "--mask-means", self._mask_means)
        if not any(mask.ratio for mask in found):
            raise InputError(f"--masks={self._masks}: no mask has a hole ({found[0].reading}), so any result would be "
                             "perfect; check the files, --mask-means and --mask-threshold")

    def _read_mask(self, paths: "_Paths") -> mask_reader.Mask:
        return mask_reader.read_file(paths.mask, self._mask_means, self._mask_threshold,
                                     threshold_flag="--mask-threshold")


class _Paths(NamedTuple):
    """The files of a pair. `id` and `hole_id` are the names of the truth and of the mask."""

    id: str
    hole_id: str
    prediction: Path
    truth: Path
    mask: Path


def _by_name(folder: str, flag: str) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for relative in find_images(folder, flag):
        name = str(PurePosixPath(relative).with_suffix(""))
        path = Path(folder).expanduser() / relative
        if name in files:
            raise InputError(f"{path}: has the same name as {files[name]}; keep one of them")
        files[name] = path
    return files


def _match(predictions: dict[str, Path], truths: dict[str, Path], masks: dict[str, Path]) -> list[_Paths]:
    """Return the files of each pair, in the order of the truths and of the masks. Raises InputError."""
    masks_of: dict[str, list[str]] = {}
    for mask, path in masks.items():
        is_photograph = mask in truths and truths[mask].resolve() == path.resolve()  # one folder holds both
        if photograph := photograph_of(mask, truths, is_photograph=is_photograph):
            masks_of.setdefault(photograph, []).append(mask)
        elif not is_photograph:
            raise InputError(f"{path}: has no file in --truth; remove it or add the truth")
    used = {masks[name].resolve() for names in masks_of.values() for name in names}
    photographs = sorted(name for name, path in truths.items() if path.resolve() not in used)
    if missing := [name for name in photographs if name not in masks_of]:
        raise InputError(f"--masks: has no file for {truths[missing[0]]}{_and_more(missing)}; add what is missing")
    chosen = {(name, mask): mask if mask in predictions or len(masks_of[name]) > 1 else name
              for name in photographs for mask in sorted(masks_of[name])}
    if missing := [mask for (_, mask), name in chosen.items() if name not in predictions]:
        photograph = next(name for name, mask in chosen if mask == missing[0])
        truth, several = truths[photograph], len(masks_of[photograph])
        needed = truth if several == 1 else (f"{masks[missing[0]]}, one of the {several} masks of {truth}: name each "
                                             "prediction as its mask")
        raise InputError(f"--pred: has no file for {needed}{_and_more(missing)}; add what is missing")
    if extra := sorted(predictions.keys() - chosen.values()):
        is_pair = extra[0] in truths
        problem = "is there beside predictions of its masks' names" if is_pair else "has no file in --truth"
        raise InputError(f"{predictions[extra[0]]}: {problem}{_and_more(extra)}; remove it or add the truth")
    return [_Paths(name, mask, predictions[chosen[name, mask]], truths[name], masks[mask]) for name, mask in chosen]


def _and_more(names: Sequence[str]) -> str:
    return f" (nor for {len(names) - 1} more)" if len(names) > 1 else ""


def _read_rgb(path: Path) -> Pixels:
    try:
        content = read_file(path)
    except OSError as reason:
        raise InputError(f"{path}: cannot be read ({reason.strerror}); restore it") from reason
    pixels = np.asarray(images.decode(content, str(path)))
    with images.open_header(content) as image:
        if image.has_transparency_data:
            raise InputError(f"{path}: has an alpha channel, which no protocol measures; save it without one")
        if image.mode.startswith("I") or any(";16" in str(tile.args) for tile in image.tile):
            raise InputError(f"{path}: has 16 bits per channel, the protocols measure 8; save it with 8")
    return pixels
