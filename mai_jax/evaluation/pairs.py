"""What is measured: photographs and the holes in them, as a frozen list with random access."""

import hashlib
import itertools
import os
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from mai_jax.config import Config
from mai_jax.data import folder, hole_files, hole_generator, images, sources
from mai_jax.data import holes as hole_sources
from mai_jax.evaluation import ratio_bins
from mai_jax.evaluation.holes.manifest import Manifest
from mai_jax.types import InputError

Pixels = UInt8[np.ndarray, "h w 3"]
Hole = Bool[np.ndarray, "h w"]


class Pair(NamedTuple):
    """A photograph, a hole in it, and, if another program painted it, what that wrote."""

    id: str
    hole_id: str
    truth: Pixels
    hole: Hole
    painted: Pixels | None = None

    @property
    def digest(self) -> str:
        """Stands for the pixels of truth and hole: two programs measured on equal digests were given the same."""
        content = np.array(self.truth.shape).tobytes() + self.truth.tobytes() + np.packbits(self.hole).tobytes()
        return hashlib.sha256(content).hexdigest()[:16]


class Pairs(Sequence):
    """A list of pairs, each read when it is asked for."""


class PhotographPairs(Pairs):
    """The photographs of a source, shorter side and centre crop at the size of the run, each with one hole per bin.

    Holes are drawn from the config's seed and the photograph's id, or come from a manifest, where the id chooses one of
    each bin's entries, or, if the config names a folder of mask files for the test, are chosen among all of them.
    """

    def __init__(self, source: sources.Source, config: Config, manifest: Manifest | None = None) -> None:
        self._source = source
        self._size = config.image_size
        if manifest is not None:
            self._hole_of = _listed(manifest, self._size)
            self._holes = [i for i in range(len(manifest.header.edges) - 1) if manifest.entries_in_bin(i)]
        else:
            self._hole_of = _drawn(config) if config.holes.test == hole_sources.DRAWN else _chosen(config)
            self._holes = list(range(len(config.evaluation.edges) - 1))
        self._photograph = lru_cache(maxsize=2)(self._read)

    def __len__(self) -> int:
        return len(self._source) * len(self._holes)

    def __getitem__(self, i: int) -> Pair:
        name, truth = self._photograph(i // len(self._holes))
        hole_id, hole = self._hole_of(name, self._holes[i % len(self._holes)])
        return Pair(name, hole_id, truth, hole)

    def _read(self, i: int) -> tuple[str, Pixels]:
        encoded = self._source[i]
        photograph = images.decode(encoded["bytes"], encoded["id"])
        return encoded["id"], images.resize_crop(photograph, self._size, self._size, (0.5, 0.5))


def _drawn(config: Config) -> Callable[[str, int], tuple[str, Hole]]:
    size, seed = config.image_size, config.evaluation.seed
    bins = itertools.pairwise(config.evaluation.edges)
    counts = np.array([ratio_bins.counts_in_bin(lo, hi, size**2) for lo, hi in bins])

    @jax.jit
    def draw(key: Array, fewest: Array, most: Array) -> Float[Array, "h w 1"]:
        count_key, stroke_key = jax.random.split(key)
        count = jax.random.randint(count_key, (), fewest, most + 1)
        return hole_generator.draw(stroke_key, (size, size), count / size**2)

    def hole_of(name: str, number: int) -> tuple[str, Hole]:
        key = jax.random.fold_in(_key(seed, name), number)
        return f"drawn-{seed}-{number}", np.asarray(draw(key, *counts[number]))[..., 0] == 0

    return hole_of


def _chosen(config: Config) -> Callable[[str, int], tuple[str, Hole]]:
    seed = config.evaluation.seed
    bank = hole_files.load(config.holes.test, config.image_size, config.holes).bits
    draw = jax.jit(hole_files.draw_from)

    def hole_of(name: str, number: int) -> tuple[str, Hole]:
        key = jax.random.fold_in(_key(seed, name), number)
        return f"chosen-{seed}-{number}", np.asarray(draw(bank, key))[..., 0] == 0

    return hole_of


def _listed(manifest: Manifest, size: int) -> Callable[[str, int], tuple[str, Hole]]:
    def hole_of(name: str, number: int) -> tuple[str, Hole]:
        entries = manifest.entries_in_bin(number)
        entry = entries[_number(name) % len(entries)]
        hole = manifest.read_hole(entry)
        if hole.shape != (size, size):
            raise InputError(f"{manifest.folder / entry.file}: is {hole.shape[1]} x {hole.shape[0]} pixels and the run "
                             f"has {size}; make the holes with --size={size}")
        return entry.id, hole

    return hole_of


def _key(seed: int, name: str) -> Array:
    return jax.random.fold_in(jax.random.key(seed), _number(name))


def _number(name: str) -> int:
    return zlib.crc32(os.fsencode(name))


class FolderPairs(Pairs):
    """What any program painted: three folders whose files are paired by relative name without its extension.

    Raises InputError for a file without partner, two files of one name, sizes that differ, and for alpha or 16 bits in
    photographs, which the protocols do not measure.
    """

    def __init__(self, painted: str, truth: str, masks: str, mask_means: str = "hole") -> None:
        self._files = {flag: _by_name(place, flag) for flag, place in
                       (("--pred", painted), ("--truth", truth), ("--masks", masks))}
        self._mask_means = mask_means
        self._names = sorted(self._files["--truth"])
        for flag, files in self._files.items():
            _require_same(flag, files, self._files["--truth"])

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, i: int) -> Pair:
        name = self._names[i]
        truth = _levels(self._files["--truth"][name])
        painted = _levels(self._files["--pred"][name])
        if painted.shape != truth.shape:
            (h, w, _), (truth_h, truth_w, _) = painted.shape, truth.shape
            raise InputError(f"{self._files['--pred'][name]}: is {w} x {h} pixels and its truth {truth_w} x {truth_h}; "
                             "save both in one size")
        known = hole_files.read_known(self._files["--masks"][name], truth.shape[:2], self._mask_means)
        return Pair(name, name, truth, ~known, painted)


def _by_name(place: str, flag: str) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for relative in folder.find_images(place, flag):
        name = str(PurePosixPath(relative).with_suffix(""))
        path = Path(place).expanduser() / relative
        if name in files:
            raise InputError(f"{path}: has the name of {files[name]}; keep one of them")
        files[name] = path
    return files


def _require_same(flag: str, files: dict[str, Path], truths: dict[str, Path]) -> None:
    if missing := sorted(truths.keys() - files.keys()):
        raise InputError(f"{flag}: holds no partner of {truths[missing[0]]}{_and_more(missing)}; add what is missing")
    if extra := sorted(files.keys() - truths.keys()):
        raise InputError(f"{files[extra[0]]}: has no partner in --truth{_and_more(extra)}; remove it or add the truth")


def _and_more(names: Sequence[str]) -> str:
    return f" (nor have {len(names) - 1} more)" if len(names) > 1 else ""


def _levels(path: Path) -> Pixels:
    try:
        content = folder.read_file(path)
    except OSError as reason:
        raise InputError(f"{path}: cannot be read ({reason.strerror}); restore it") from reason
    pixels = np.asarray(images.decode(content, str(path)))
    with images.opened(content) as image:
        if image.has_transparency_data:
            raise InputError(f"{path}: has an alpha channel, which no protocol measures; save it without")
        if image.mode.startswith("I") or any(";16" in str(tile.args) for tile in image.tile):
            raise InputError(f"{path}: has 16 bits per channel, and the protocols measure 8; save it with 8")
    return pixels
