"""Object-shaped holes: the segments of a COCO or LVIS annotation file as a mask benchmark.

Polygons and uncompressed run lengths are all that these files hold, and both are decoded here in a few lines, so no
library of the data sets is needed.
"""

import json
import logging
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool
from skimage.draw import polygon
from tqdm import tqdm

from mai_jax import files
from mai_jax.data import images
from mai_jax.errors import InputError
from mai_jax.evaluation.mask_benchmark import manifest, plain_png
from mai_jax.evaluation.mask_benchmark.indexing import bin_counts
from mai_jax.evaluation.mask_benchmark.manifest import Entry

PROGRESS_MIN = 1000  # segments: for fewer no progress bar is shown
MAX_ID = 2**63
FAR = 2**24  # pixels: no coordinate is larger

log = logging.getLogger(__name__)


class Segment(NamedTuple):
    """An annotation: its id, the size of its image, its segmentation as in the file, and its name for messages."""

    id: int
    height: int
    width: int
    segmentation: Any
    where: str


def make(path: Path, output: Path, *, size: int, per_bin: int | None, edges: Sequence[float]) -> None:
    """Write PNG files of the segments whose hole ratio is in a bin, and a manifest. White is hole.

    A segment is cut to the central square of its photograph, as the evaluation cuts photographs, and scaled to `size` x
    `size`. With `per_bin` at most so many of each bin are taken, chosen by a hash of their ids. Raises InputError for a
    file that holds no such segments, and for an `output` that is not empty; then nothing is written.
    """
    manifest.check_edges(edges, "--edges")
    if not images.MIN_SIDE <= size <= math.isqrt(images.MAX_PIXELS):
        raise InputError(f"--size={size}: must be from {images.MIN_SIDE} to {math.isqrt(images.MAX_PIXELS)} pixels")
    if per_bin is not None and per_bin < 1:
        raise InputError(f"--per-bin={per_bin}: must be at least 1")
    if output.exists() and any(output.iterdir()):
        raise InputError(f"{output}: is not empty; empty it or name another folder")
    content = manifest.read_file(path)
    segments = sorted(_segments(path, content), key=lambda segment: sha256(str(segment.id).encode()).digest())
    output.parent.mkdir(parents=True, exist_ok=True)
    unfinished = output.with_name(files.unfinished_name())
    unfinished.mkdir()
    try:
        entries = sorted(_write(segments, unfinished, size, per_bin, edges), key=lambda entry: (entry.bin, entry.id))
        if not entries:
            raise InputError(f"{path}: none of its {len(segments)} segments has a hole ratio in the bins; give other "
                             "--edges")
        made_by = {"command": "coco", "file_sha256": sha256(content).hexdigest(), "per_bin": per_bin}
        manifest.write(unfinished / manifest.NAME, entries, size=size, edges=list(edges), mask_means="hole",
                       made_by=made_by)
        unfinished.replace(output)
    except BaseException:
        for file in unfinished.iterdir():
            file.unlink()
        unfinished.rmdir()
        raise
    log.info("%s: %d holes of %d segments\n%s", output, len(entries), len(segments), bin_counts(entries, edges))


def _write(
    segments: Sequence[Segment], folder: Path, size: int, per_bin: int | None, edges: Sequence[float]
) -> Iterator[Entry]:  # fmt: skip
    counts: Counter[int] = Counter()
    for segment in tqdm(segments, desc="segments", disable=len(segments) < PROGRESS_MIN):
        hole = hole_of(segment, size)
        name, content = f"{segment.id:012}", plain_png.encode(hole)
        entry = manifest.entry_of(name, f"{name}.png", content, hole, edges)
        if entry.bin is not None and (per_bin is None or counts[entry.bin] < per_bin):
            counts[entry.bin] += 1
            (folder / entry.file).write_bytes(content)
            yield entry
            if per_bin is not None and all(counts[number] == per_bin for number in range(len(edges) - 1)):
                return


def hole_of(segment: Segment, size: int) -> Bool[np.ndarray, "size size"]:
    """Return the pixels of a segment in the central square of its photograph, at `size` x `size`. Raises InputError."""
    side = min(segment.height, segment.width)
    top, left = (segment.height - side) // 2, (segment.width - side) // 2
    if isinstance(segment.segmentation, dict):
        whole = _run_lengths(segment)
        return manifest.resize(whole[top : top + side, left : left + side], size)
    hole = np.zeros((size, size), bool)
    for outline in _outlines(segment):
        x, y = ((outline - (left, top)) * size / side - 0.5).T  # of pixels whose centres are whole numbers
        hole[polygon(y, x, hole.shape)] = True
    return hole


def _outlines(segment: Segment) -> Iterator[np.ndarray]:
    """Yield the corners, (x, y), of the polygons of a segment."""
    parts = segment.segmentation
    if not isinstance(parts, list) or not parts:
        raise InputError(f"{segment.where}: its segmentation is neither polygons nor run lengths; repair the file")
    for part in parts:
        if not (isinstance(part, list) and len(part) >= 6 and len(part) % 2 == 0 and all(map(_is_near, part))):
            raise InputError(f"{segment.where}: its polygon is not a list x, y, x, y, ... of three or more corners; "
                             "repair the file")
        yield np.array(part, np.float64).reshape(-1, 2)


def _is_near(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -FAR <= value <= FAR


def _run_lengths(segment: Segment) -> Bool[np.ndarray, "h w"]:
    """Return the mask of run lengths of 0 and 1 in turn, column by column."""
    counts, (height, width) = segment.segmentation.get("counts"), (segment.height, segment.width)
    if isinstance(counts, str):
        raise InputError(f"{segment.where}: its run lengths are compressed, which is not supported; write them as a "
                         "list of numbers")
    if not (isinstance(counts, list) and all(type(count) is int and 0 <= count <= height * width for count in counts)
            and sum(counts) == height * width and segment.segmentation.get("size") == [height, width]):
        raise InputError(f"{segment.where}: its run lengths are not those of {width} x {height} pixels, the size of "
                         "its image; repair the file")
    values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return values.reshape(width, height).T


def _segments(path: Path, content: bytes) -> list[Segment]:
    """Return the annotations of a file. Raises InputError for what is no such file."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as reason:
        raise InputError(f"{path}: is not JSON; give an annotation file of COCO or LVIS") from reason
    lists = [document.get(key) if isinstance(document, dict) else None for key in ("images", "annotations")]
    if not all(isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows) for rows in lists):
        raise InputError(f"{path}: has no lists of images and annotations; give an annotation file of COCO or LVIS, "
                         "such as instances_val2017.json")
    sizes = {}
    for row in lists[0] or []:
        sides = (row.get("height"), row.get("width"))
        if not _is_id(row.get("id")) or not all(type(side) is int and side > 0 for side in sides):
            raise InputError(f"{path}: an image has no whole numbers id, height and width; repair the file")
        if math.prod(sides) > images.MAX_PIXELS:
            raise InputError(f"{path}: image {row['id']} has {sides[1]} x {sides[0]} pixels; the limit is "
                             f"{images.MAX_PIXELS}")
        sizes[row["id"]] = sides
    found: dict[int, Segment] = {}
    for row in lists[1] or []:
        id, image = row.get("id"), row.get("image_id")
        if not _is_id(id) or id in found:
            raise InputError(f"{path}: an annotation has no whole number as id, or that of another; repair the file")
        where = f"{path}: annotation {id}"
        if not _is_id(image) or image not in sizes:
            raise InputError(f"{where}: its image {image!r} is not in the file; repair the file")
        found[id] = Segment(id, *sizes[image], row.get("segmentation"), where)
    return list(found.values())


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value < MAX_ID
