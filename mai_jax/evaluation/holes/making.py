"""Draws a benchmark of holes: exact ratio bins, on the border and not, the same bytes on any machine."""

import logging
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from mai_jax.data import images
from mai_jax.evaluation.holes import manifest, plain_png, strokes
from mai_jax.evaluation.ratio_bins import counts_in_bin
from mai_jax.types import InputError

MARGIN, OF_SIZE = 50, 512  # pixels between the border and a hole that does not touch it, in the test set of PConv
GOLDEN = 2654435769  # 2^32 / golden ratio: its multiples, modulo 2^32, stay evenly spread however many there are
MANY = 1000  # holes, from which on a progress bar is shown

log = logging.getLogger(__name__)


class Planned(NamedTuple):
    """A hole to be drawn; `name` decides its strokes."""

    id: str
    name: str
    pixels: int
    margin: int


def make(output: Path, *, size: int, per_bin: int, seed: int, edges: Sequence[float]) -> None:
    """Draws `per_bin` holes that touch the image's border and as many that do not into every bin, as PNG files.

    The first holes of a bin are the same ones whatever `per_bin` and the other bins are. A folder that holds this very
    set is left as it is. Raises InputError for a folder that holds anything else or for values with which no set can
    be drawn.
    """
    plan = list(_plan(size, per_bin, seed, edges))
    wanted = {manifest.NAME, *(f"{hole.id}.png" for hole in plan)}
    there = {path.name for path in output.iterdir()} if output.exists() else set()
    other = InputError(f"{output}: holds other files than this set, or a part of it; empty it or name another folder")
    if there and there != wanted:
        raise other
    output.mkdir(parents=True, exist_ok=True)

    entries = []
    for id, name, pixels, margin in tqdm(plan, desc="holes", disable=len(plan) < MANY):
        hole = strokes.draw(name, size, pixels, margin)
        path, content = output / f"{id}.png", plain_png.encode(hole)
        if not there:
            path.write_bytes(content)
        elif path.read_bytes() != content:
            raise other
        entries.append(manifest.entry_of(id, path.name, content, hole, edges))
    made_by = {"command": "make", "strokes": strokes.VERSION, "seed": seed, "per_bin": per_bin,
               "margin": _margin(size)}
    manifest.write(output / manifest.NAME, entries, size=size, edges=list(edges), mask_means="hole", made_by=made_by)
    log.info("%s: %s", output, "holds this set already" if there else f"{len(entries)} holes")


def _plan(size: int, per_bin: int, seed: int, edges: Sequence[float]) -> Iterator[Planned]:
    manifest.check_edges(edges, "--edges")
    if size < images.SMALLEST:
        raise InputError(f"--size={size}: must be at least {images.SMALLEST} pixels")
    if per_bin < 1:
        raise InputError(f"--per-bin={per_bin}: must be at least 1")
    room = (size - 2 * _margin(size)) ** 2
    for lo, hi in pairwise(edges):
        try:
            smallest, largest = counts_in_bin(lo, hi, size**2)
        except ValueError as reason:
            raise InputError(f"--edges: {reason}") from reason
        if largest > room:
            raise InputError(f"--edges: a hole that stays {_margin(size)} pixels from the border is at most "
                             f"{room / size**2:.3f} of the image; end below {hi:g}")
        for kind, margin in (("border", 0), ("inside", _margin(size))):
            group = f"seed {seed}, {lo} to {hi}, {kind}"
            first = int.from_bytes(sha256(group.encode()).digest()[:4], "big")
            for i in range(per_bin):
                pixels = smallest + ((first + i * GOLDEN) % 2**32 * (largest - smallest + 1) >> 32)
                yield Planned(f"{lo}-{hi}_{kind}_{i:05}", f"{group}, {i}", pixels, margin)


def _margin(size: int) -> int:
    return size * MARGIN // OF_SIZE
