"""Generation of a mask benchmark: exact ratio bins, holes on and off the border, the same bytes on any machine."""

import logging
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from mai_jax.data import images
from mai_jax.errors import InputError
from mai_jax.evaluation.mask_benchmark import manifest, plain_png, strokes
from mai_jax.evaluation.ratio_bins import counts_in_bin

MARGIN, MARGIN_SIZE = 50, 512  # in pixels: margin of holes off the border and image size in PConv's test set
GOLDEN = 2654435769  # 2^32 / golden ratio: any number of its multiples modulo 2^32 is evenly spread
PROGRESS_MIN = 1000  # holes: for fewer no progress bar is shown

log = logging.getLogger(__name__)


class HoleSpec(NamedTuple):
    """A hole to draw; `name` determines its strokes. `pixels` is its size, `margin` its distance from the border."""

    id: str
    name: str
    pixels: int
    margin: int


def make(output: Path, *, size: int, per_bin: int, seed: int, edges: Sequence[float]) -> None:
    """Write PNG files of `per_bin` holes on the image border and `per_bin` holes off it for every bin, and a manifest.

    White is hole. The first holes of a bin do not depend on `per_bin` or on the other bins. A folder that already holds
    the same set is left unchanged. Raises InputError if the folder holds anything else, or if there is no set with
    these values.
    """
    specs = list(_specs(size, per_bin, seed, edges))
    expected = {manifest.NAME, *(f"{spec.id}.png" for spec in specs)}
    existing = {path.name for path in output.iterdir()} if output.exists() else set()
    differs = InputError(f"{output}: holds other files than this set, or a part of it; empty it or name another folder")
    if existing and existing != expected:
        raise differs
    output.mkdir(parents=True, exist_ok=True)

    entries = []
    for id, name, pixels, margin in tqdm(specs, desc="holes", disable=len(specs) < PROGRESS_MIN):
        hole = strokes.draw(name, size, pixels, margin)
        path, content = output / f"{id}.png", plain_png.encode(hole)
        if not existing:
            path.write_bytes(content)
        elif path.read_bytes() != content:
            raise differs
        entries.append(manifest.entry_of(id, path.name, content, hole, edges))
    made_by = {"command": "make", "strokes": strokes.VERSION, "seed": seed, "per_bin": per_bin,
               "margin": _margin(size)}
    manifest.write(output / manifest.NAME, entries, size=size, edges=list(edges), mask_means="hole", made_by=made_by)
    log.info("%s: %s", output, "already holds this set" if existing else f"{len(entries)} holes")


def _specs(size: int, per_bin: int, seed: int, edges: Sequence[float]) -> Iterator[HoleSpec]:
    manifest.check_edges(edges, "--edges")
    if size < images.MIN_SIDE:
        raise InputError(f"--size={size}: must be at least {images.MIN_SIDE} pixels")
    if per_bin < 1:
        raise InputError(f"--per-bin={per_bin}: must be at least 1")
    max_inside = (size - 2 * _margin(size)) ** 2
    for lo, hi in pairwise(edges):
        try:
            smallest, largest = counts_in_bin(lo, hi, size**2)
        except ValueError as reason:
            raise InputError(f"--edges: {reason}") from reason
        if largest > max_inside:
            raise InputError(f"--edges: a hole with a margin of {_margin(size)} pixels to the border is at most "
                             f"{max_inside / size**2:.3f} of the image; end below {hi:g}")
        for kind, margin in (("border", 0), ("inside", _margin(size))):
            group = f"seed {seed}, {lo} to {hi}, {kind}"
            first = int.from_bytes(sha256(group.encode()).digest()[:4], "big")
            for i in range(per_bin):
                pixels = smallest + ((first + i * GOLDEN) % 2**32 * (largest - smallest + 1) >> 32)
                yield HoleSpec(f"{lo}-{hi}_{kind}_{i:05}", f"{group}, {i}", pixels, margin)


def _margin(size: int) -> int:
    return size * MARGIN // MARGIN_SIZE
