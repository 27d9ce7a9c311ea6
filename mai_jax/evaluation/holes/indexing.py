"""Lists the mask files that a folder holds already, such as PConv's 12,000, by their share of hole."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mai_jax.data import images
from mai_jax.data.folder import find_images
from mai_jax.data.hole_files import MOSTLY_HOLE, NEARLY_BLACK, NEARLY_WHITE
from mai_jax.evaluation.holes import manifest
from mai_jax.evaluation.holes.manifest import Entry
from mai_jax.evaluation.ratio_bins import label
from mai_jax.types import InputError

MANY = 1000  # files, from which on a progress bar is shown

log = logging.getLogger(__name__)


def index(folder: str, output: Path | None, *, size: int | None, edges: Sequence[float], mask_means: str) -> None:
    """Lists all mask files below `folder` in a manifest, by default `folder`/manifest.jsonl, and says how many it found
    in which bin.

    With `size` holes are measured, and later read, at size x size pixels. Raises InputError for a file that cannot be
    read, or if `output` is not in `folder` or above it.
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

    def listed(file: str) -> tuple[Entry, float]:
        content = manifest.read_file(root / file)
        mask = images.decode_grey(content, str(root / file))
        hole = manifest.hole_from_mask(mask, size, mask_means)
        place = (prefix / file).as_posix()
        grey = float(np.mean((mask > NEARLY_BLACK) & (mask < NEARLY_WHITE)))
        return manifest.entry_of(place, place, content, hole, edges), grey

    with ThreadPoolExecutor() as pool:
        read = tqdm(pool.map(listed, files), desc="masks", total=len(files), disable=len(files) < MANY)
        entries, grey = zip(*read, strict=True)
    _doubt(folder, entries, grey, mask_means)
    manifest.write(output, entries, size=size, edges=list(edges), mask_means=mask_means, made_by={"command": "bin"})
    log.info("%s: %d holes\n%s", output, len(entries), _counts(entries, edges))


def _doubt(folder: str, entries: Sequence[Entry], grey: Sequence[float], mask_means: str) -> None:
    if any(grey):
        log.warning("warning: %s: %d of %d masks hold pixels that are neither black nor white (%.1f %% of all); they "
                    "are cut at one half", folder, np.count_nonzero(grey), len(grey), 100 * np.mean(grey))
    if (median := np.median([entry.ratio for entry in entries])) > MOSTLY_HOLE:
        other = {"hole": "known", "known": "hole"}[mask_means]
        log.warning("warning: %s: half of the masks have more than %.0f %% hole; if white means %s in them, give "
                    "--mask-means=%s", folder, 100 * median, other, other)


def _counts(entries: Sequence[Entry], edges: Sequence[float]) -> str:
    lines = [f"{'bin':>12}  on the border  not"]
    for number, name in [*enumerate(label(lo, hi) for lo, hi in pairwise(edges)), (None, "outside all")]:
        border = [entry.border for entry in entries if entry.bin == number]
        lines.append(f"{name:>12}  {sum(border):13}  {len(border) - sum(border):3}")
    return "\n".join(lines)
