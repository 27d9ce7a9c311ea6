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

    Files are matched by their relative path without the extension. Raises InputError for a file without partner, two
    files with the same name, different sizes, and for images with an alpha channel or 16 bits, which no protocol
    measures.
    """

    def __init__(
        self, prediction: str, truth: str, masks: str, mask_means: str = "hole", mask_threshold: int | None = None
    ) -> None:
        self._files = {flag: _by_name(folder, flag) for flag, folder in
                       (("--pred", prediction), ("--truth", truth), ("--masks", masks))}
        self._masks, self._mask_means, self._mask_threshold = masks, mask_means, mask_threshold
        self._names = sorted(self._files["--truth"])
        for flag, files in self._files.items():
            _require_partners(flag, files, self._files["--truth"])

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, i: int) -> Pair:
        name = self._names[i]
        truth = _read_rgb(self._files["--truth"][name])
        prediction = _read_rgb(self._files["--pred"][name])
        if prediction.shape != truth.shape:
            (h, w, _), (truth_h, truth_w, _) = prediction.shape, truth.shape
            raise InputError(f"{self._files['--pred'][name]}: is {w} x {h} pixels and its truth {truth_w} x {truth_h}; "
                             "save both in the same size")
        mask = self._read_mask(name)
        mask_reader.check_size(mask, str(self._files["--masks"][name]), truth.shape[:2])
        return Pair(name, name, truth, mask.hole, prediction)

    def check_masks(self) -> None:
        """Read all masks and log how they were read and doubts about them.

        Raises InputError if a file is not understood as a mask, or if no mask has a hole.
        """

        def traits(name: str) -> MaskTraits:
            mask = self._read_mask(name)
            return MaskTraits(mask.reading, mask.unclear, float(mask.hole.mean()))

        with ThreadPoolExecutor() as pool:
            found = list(tqdm(pool.map(traits, self._names), desc="masks", total=len(self), disable=len(self) < 1000))
        log_doubts(self._masks, found, "--mask-means", self._mask_means)
        if not any(mask.ratio for mask in found):
            raise InputError(f"--masks={self._masks}: no mask has a hole ({found[0].reading}), so any result would be "
                             "perfect; check the files, --mask-means and --mask-threshold")

    def _read_mask(self, name: str) -> mask_reader.Mask:
        return mask_reader.read_file(self._files["--masks"][name], self._mask_means, self._mask_threshold,
                                     threshold_flag="--mask-threshold")


def _by_name(folder: str, flag: str) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for relative in find_images(folder, flag):
        name = str(PurePosixPath(relative).with_suffix(""))
        path = Path(folder).expanduser() / relative
        if name in files:
            raise InputError(f"{path}: has the same name as {files[name]}; keep one of them")
        files[name] = path
    return files


def _require_partners(flag: str, files: dict[str, Path], truths: dict[str, Path]) -> None:
    if missing := sorted(truths.keys() - files.keys()):
        raise InputError(f"{flag}: has no file for {truths[missing[0]]}{_and_more(missing)}; add what is missing")
    if extra := sorted(files.keys() - truths.keys()):
        raise InputError(f"{files[extra[0]]}: has no file in --truth{_and_more(extra)}; remove it or add the truth")


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
