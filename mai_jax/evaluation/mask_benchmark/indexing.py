"""Indexing of existing mask files, such as the 12,000 of PConv, by hole ratio."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

from tqdm import tqdm

from mai_jax.data import mask_reader
from mai_jax.data.mask_files import MaskTraits, log_doubts
from mai_jax.errors import InputError
from mai_jax.evaluation.mask_benchmark import manifest
from mai_jax.evaluation.mask_benchmark.manifest import Entry
from mai_jax.evaluation.ratio_bins import label
from mai_jax.files import find_images

PROGRESS_MIN = 1000  # files: for fewer no progress bar is shown

log = logging.getLogger(__name__)


def index(folder: str, output: Path | None, *, size: int | None, edges: Sequence[float], mask_means: str) -> None:
    """Write a manifest of all mask files below `folder`, in place of an earlier one, and log the number per bin.

    The manifest is `output`, by default `folder`/manifest.jsonl. White means `mask_means`: "hole" or "valid" ("known"
    is accepted for "valid"). With `size`, masks are measured, and later read, at size x size pixels. Raises InputError
    if a file cannot be read, or if `output` is not in `folder` or a folder above it.
    """
    manifest.check_edges(edges, "--edges")
    if size is not None and size < 1:
        raise InputError(f"--size={size}: must be at least 1 pixel")
    files = find_images(folder, "DIR")
    root = Path(folder).expanduser()
    output = output or root / manifest.NAME
    if not root.resolve().is_relative_to(output.parent.resolve()):
        raise InputError(f"--output={output}: a manifest lists files in its own folder; put it into {root} or above")
    prefix = root.resolve().relative_to(output.parent.resolve())

    def read_entry(file: str) -> tuple[Entry, MaskTraits]:
        content = manifest.read_file(root / file)
        mask = mask_reader.read(content, str(root / file), mask_means)
        hole = manifest.resize(mask.hole, size)
        name = (prefix / file).as_posix()
        entry = manifest.entry_of(name, name, content, hole, edges)
        return entry, MaskTraits(mask.reading, mask.unclear, entry.ratio)

    with ThreadPoolExecutor() as pool:
        read = tqdm(pool.map(read_entry, files), desc="masks", total=len(files), disable=len(files) < PROGRESS_MIN)
        entries, traits = zip(*read, strict=True)
    log_doubts(folder, traits, "--mask-means", mask_means)
    manifest.write(output, entries, size=size, edges=list(edges), mask_means=mask_means, made_by={"command": "bin"},
                   replace=True)
    log.info("%s: %d holes\n%s", output, len(entries), bin_counts(entries, edges))


def bin_counts(entries: Sequence[Entry], edges: Sequence[float]) -> str:
    """Return a table of the number of holes in each bin, on the border and not."""
    lines = [f"{'bin':>12}  on the border  not"]
    for number, name in [*enumerate(label(lo, hi) for lo, hi in pairwise(edges)), (None, "outside all")]:
        border = [entry.border for entry in entries if entry.bin == number]
        lines.append(f"{name:>12}  {sum(border):13}  {len(border) - sum(border):3}")
    return "\n".join(lines)
