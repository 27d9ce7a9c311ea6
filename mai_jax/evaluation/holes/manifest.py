"""A frozen list of holes: which file, how large, which bin, and the checksum that tells whether it is still the same.

The file is JSON lines. The first line says what holds for all holes, every further line is one hole; files are named
relative to the folder of the manifest and lie in it, so that the folder can be moved and published. The SHA-256 of the
manifest's own bytes stands for the whole set: results carry it.
"""

import itertools
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from mai_jax.data import folder, images
from mai_jax.data.hole_files import known_from_mask
from mai_jax.evaluation.ratio_bins import bin_of
from mai_jax.files import write_whole
from mai_jax.types import InputError

NAME = "manifest.jsonl"
FORMAT, VERSION = "mai_jax holes", 1


@dataclass(frozen=True)
class Entry:
    """One hole. `bin` counts from 0, None outside all bins; `border`: it has a pixel in the image's outermost ring."""

    id: str
    file: str
    ratio: float  # hole pixels / all pixels, in float64
    bin: int | None
    border: bool
    sha256: str  # of the file


@dataclass(frozen=True)
class Header:
    """What holds for all holes. Files are taken to `size` x `size` pixels by nearest neighbour; None: as they are."""

    format: str
    version: int
    holes: int  # lines that follow
    size: int | None
    edges: list  # of float: bin i is (edges[i], edges[i + 1]]
    mask_means: str  # what white means in the files
    made_by: dict  # command, generator version, seed and the like


@dataclass(frozen=True)
class Manifest:
    """What `load` read. `sha256` is that of the manifest's bytes, `folder` holds it and the files."""

    folder: Path
    sha256: str
    header: Header
    entries: tuple[Entry, ...]

    def entries_in_bin(self, number: int) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.bin == number)

    def read_hole(self, entry: Entry) -> Bool[np.ndarray, "h w"]:
        """True = hole. Raises InputError if the file is not the one that was listed."""
        path = self.folder / entry.file
        content = read_file(path)
        if sha256(content).hexdigest() != entry.sha256:
            raise InputError(f"{path}: has changed since {NAME} was written (SHA-256); restore it or make the set anew")
        mask = images.decode_grey(content, str(path))
        hole = hole_from_mask(mask, self.header.size, self.header.mask_means)
        if ratio_of(hole) != entry.ratio:
            raise InputError(f"{path}: is {ratio_of(hole)!r} hole and its manifest says {entry.ratio!r}; "
                             "the manifest was edited, make it anew")
        return hole


def load(path: str | Path) -> Manifest:
    """Reads and checks a manifest; `path` names it or the folder in which it is called manifest.jsonl.

    Raises InputError for anything that is not as it was written, or for a file that is missing. Checksums of the files
    are checked when a hole is read.
    """
    path = Path(path).expanduser()
    path = path / NAME if path.is_dir() else path
    content = read_file(path)
    first, *others = content.splitlines() or [b""]
    header = _header(_parsed(first, f"{path}: line 1"), path)
    if len(others) != header.holes:
        raise InputError(f"{path}: lists {len(others)} of {header.holes} holes; it was cut off, fetch or make it anew")
    entries = []
    for number, line in enumerate(others, 2):
        entries.append(_entry(_parsed(line, f"{path}: line {number}"), f"{path}: line {number}", header))
    _refuse_twice([entry.id for entry in entries], path)
    for entry in entries:
        if not os.path.isfile(path.parent / entry.file):  # Path's own raises for some names that cannot be
            raise InputError(f"{path.parent / entry.file}: is listed in {path.name} and missing; restore it")
    return Manifest(path.parent, sha256(content).hexdigest(), header, tuple(entries))


def write(path: Path, entries: Sequence[Entry], **header: Any) -> None:
    """Writes a manifest; `header` are the fields of Header but format, version and holes.

    Raises InputError if another one is there already; the same one is left as it is.
    """
    first = Header(format=FORMAT, version=VERSION, holes=len(entries), **header)
    content = "".join(json.dumps(asdict(line)) + "\n" for line in (first, *entries)).encode()
    if not path.exists():
        write_whole(path, content)
    elif path.read_bytes() != content:
        raise InputError(f"{path}: is there already and lists another set; remove it or name another place")


def entry_of(id: str, file: str, content: bytes, hole: Bool[np.ndarray, "h w"], edges: Sequence[float]) -> Entry:
    """The entry of a file with this content that shows this hole."""
    ratio = ratio_of(hole)
    ring = np.concatenate([hole[0], hole[-1], hole[:, 0], hole[:, -1]])
    return Entry(id, file, ratio, bin_of(ratio, edges), bool(ring.any()), sha256(content).hexdigest())


def hole_from_mask(mask: UInt8[np.ndarray, "a b"], size: int | None, mask_means: str) -> Bool[np.ndarray, "h w"]:
    """The hole that the grey values of a mask file show, at `size` x `size` pixels or as large as they are."""
    if size is not None:  # the pixel below each new pixel's centre; in whole numbers, for Pillow's floats may miss it
        rows, columns = ((2 * np.arange(size) + 1) * n // (2 * size) for n in mask.shape)
        mask = mask[rows[:, None], columns]
    return ~known_from_mask(mask, mask_means)


def ratio_of(hole: Bool[np.ndarray, "h w"]) -> float:
    return int(np.count_nonzero(hole)) / hole.size


def check_edges(edges: Sequence[Any], name: str) -> None:
    """Raises InputError, with `name`, unless there are at least two and they rise within [0, 1]."""
    numbers = len(edges) >= 2 and all(isinstance(edge, float) and 0 <= edge <= 1 for edge in edges)
    if not (numbers and all(a < b for a, b in itertools.pairwise(edges))):
        raise InputError(f"{name}={edges!r}: must be two numbers or more that rise within [0, 1]")


def read_file(path: Path) -> bytes:
    try:
        return folder.read_file(path)
    except OSError as reason:
        raise InputError(f"{path}: cannot be read ({reason.strerror}); name a file that can") from reason


def _parsed(line: bytes, where: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise InputError(f"{where}: is no JSON object; name a manifest that {__package__} wrote")
    return values


def _header(values: dict[str, Any], path: Path) -> Header:
    if values.get("format") != FORMAT:
        raise InputError(f"{path}: is no manifest of holes; name one that {__package__} wrote")
    if values.get("version") != VERSION:
        raise InputError(f"{path}: has format version {values.get('version')!r}, and this program reads {VERSION}; "
                         "use the mai_jax that wrote it")
    header = _filled(Header, values, f"{path}: line 1")
    check_edges(header.edges, f"{path}: edges")
    if header.size is not None and not (header.size >= 1 and header.size**2 <= images.MAX_PIXELS):
        raise InputError(f"{path}: size={header.size!r}: must be 1 or more, with at most {images.MAX_PIXELS} pixels")
    if header.mask_means not in ("hole", "known"):
        raise InputError(f"{path}: mask_means={header.mask_means!r}: must be hole or known")
    return header


def _entry(values: dict[str, Any], where: str, header: Header) -> Entry:
    entry = _filled(Entry, values, where)
    # Windows' rules know both slashes and the drive, so that what is refused is the same everywhere.
    file = PureWindowsPath(entry.file)
    if file.anchor or ".." in file.parts:
        raise InputError(f"{where}: {entry.file!r} lies outside of the manifest's folder; put the file into it")
    if not 0 <= entry.ratio <= 1 or entry.bin != bin_of(entry.ratio, header.edges):
        raise InputError(f"{where}: a ratio of {entry.ratio!r} is not in bin {entry.bin}; make the manifest anew")
    return entry


def _filled(cls: type, values: dict[str, Any], where: str) -> Any:
    for field in fields(cls):
        value = values.get(field.name, ...)
        if not isinstance(value, field.type) or (isinstance(value, bool) and field.type is not bool):
            raise InputError(f"{where}: field {field.name} is missing or of a wrong kind; make the manifest anew")
    if odd := sorted(set(values) - {field.name for field in fields(cls)}):
        raise InputError(f"{where}: field {odd[0]} is unknown; use the mai_jax that wrote it")
    return cls(**values)


def _refuse_twice(ids: Sequence[str], path: Path) -> None:
    seen = set()
    for name in ids:
        if name in seen:
            raise InputError(f"{path}: lists {name!r} twice; make the manifest anew")
        seen.add(name)
