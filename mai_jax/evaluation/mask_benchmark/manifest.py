"""The manifest of a mask benchmark: file, hole ratio, bin and checksum of every hole.

The manifest is a file of JSON lines: a header, then one line per hole. File names are relative to the folder of the
manifest, which contains the files, so that the folder can be moved and published. Results record the SHA-256 of the
manifest, which identifies the whole set.
"""

import itertools
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from jaxtyping import Bool

from mai_jax import files
from mai_jax.data import images, mask_reader
from mai_jax.errors import InputError
from mai_jax.evaluation.ratio_bins import bin_of
from mai_jax.files import write_atomically

NAME = "manifest.jsonl"
FORMAT, VERSION = "mai_jax holes", 1

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One hole. `bin` is the index of its ratio bin, None outside all; `border`: it has a pixel on the image border."""

    id: str
    file: str
    ratio: float  # hole pixels / all pixels, in float64
    bin: int | None
    border: bool
    sha256: str  # of the file


@dataclass(frozen=True)
class Header:
    """Fields common to all holes. Masks are resized to `size` x `size` by nearest neighbour; None: not resized."""

    format: str
    version: int
    holes: int  # number of lines that follow
    size: int | None
    edges: list  # of float: bin i is (edges[i], edges[i + 1]]
    mask_means: str  # what white means in the files: hole or valid; known is accepted for valid
    made_by: dict  # provenance: command, generator version, seed etc.


@dataclass(frozen=True)
class Manifest:
    """A manifest read by `load`. `sha256` is that of its bytes, `folder` contains it and the mask files."""

    folder: Path
    sha256: str
    header: Header
    entries: tuple[Entry, ...]

    def entries_in_bin(self, bin_index: int) -> tuple[Entry, ...]:
        """Return the entries of a ratio bin, in the order of the manifest."""
        return tuple(entry for entry in self.entries if entry.bin == bin_index)

    def read_hole(self, entry: Entry) -> Bool[np.ndarray, "h w"]:
        """Return the hole, True = missing. Raises InputError if the file has changed since it was indexed."""
        path = self.folder / entry.file
        content = read_file(path)
        if sha256(content).hexdigest() != entry.sha256:
            raise InputError(f"{path}: has changed since {NAME} was written (SHA-256); restore it or generate "
                             "the set again")
        mask = mask_reader.read(content, str(path), self.header.mask_means)
        hole = resize(mask.hole, self.header.size)
        if ratio_of(hole) != entry.ratio:
            raise InputError(f"{path}: has a hole ratio of {ratio_of(hole)!r} and its manifest says {entry.ratio!r}; "
                             "the manifest was edited, generate it again")
        return hole


def load(path: str | Path) -> Manifest:
    """Return the manifest at `path`, which is the file or its folder (then the file is manifest.jsonl), validated.

    Checksums of the mask files are checked later, when a hole is read. Raises InputError if the manifest is invalid or
    a mask file is missing.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        path = path / NAME
        if not path.exists():
            raise InputError(f"{path.parent}: holds no {NAME}; list its masks with `mai masks bin {path.parent} "
                             "--size=N`, where N is the image size of the run")
    content = read_file(path)
    first, *lines = content.splitlines() or [b""]
    header = _header(_parse(first, f"{path}: line 1"), path)
    if len(lines) != header.holes:
        raise InputError(f"{path}: lists {len(lines)} of {header.holes} holes; it is truncated, fetch or generate it "
                         "again")
    entries = []
    for number, line in enumerate(lines, 2):
        entries.append(_entry(_parse(line, f"{path}: line {number}"), f"{path}: line {number}", header))
    _check_unique([entry.id for entry in entries], path)
    for entry in entries:
        if not os.path.isfile(path.parent / entry.file):  # Path.is_file raises for some invalid names
            raise InputError(f"{path.parent / entry.file}: is listed in {path.name} but missing; restore it")
    return Manifest(path.parent, sha256(content).hexdigest(), header, tuple(entries))


def write(path: Path, entries: Sequence[Entry], *, replace: bool = False, **header: Any) -> None:
    """Write a manifest; `header` has the fields of `Header` except format, version and holes.

    With `replace`, a manifest that the same command wrote is replaced. Raises InputError if the file exists otherwise
    with another content.
    """
    lines: list[Header | Entry] = [Header(format=FORMAT, version=VERSION, holes=len(entries), **header), *entries]
    content = "".join(json.dumps(asdict(line)) + "\n" for line in lines).encode()
    if path.exists():
        if path.read_bytes() == content:
            return
        if not (replace and _command(path) == header["made_by"]["command"]):
            raise InputError(f"{path}: exists and lists another set; remove it or name another file")
        log.info("%s: the earlier list is replaced", path)
    write_atomically(path, content)


def entry_of(id: str, file: str, content: bytes, hole: Bool[np.ndarray, "h w"], edges: Sequence[float]) -> Entry:
    """Return the entry of a file with these bytes, which represents this hole."""
    ratio = ratio_of(hole)
    border = np.concatenate([hole[0], hole[-1], hole[:, 0], hole[:, -1]])
    return Entry(id, file, ratio, bin_of(ratio, edges), bool(border.any()), sha256(content).hexdigest())


def resize(hole: Bool[np.ndarray, "a b"], size: int | None) -> Bool[np.ndarray, "h w"]:
    """Return the hole resized to `size` x `size` pixels by nearest neighbour; not resized if `size` is None."""
    if size is None:
        return hole
    # In integers: the floats of Pillow may round to another pixel.
    rows, columns = ((2 * np.arange(size) + 1) * n // (2 * size) for n in hole.shape)
    return hole[rows[:, None], columns]


def _command(path: Path) -> str | None:
    """Return the command that wrote the manifest, or None if the file is not a manifest."""
    try:
        header = _header(_parse(path.read_bytes().partition(b"\n")[0], str(path)), path)
    except InputError:
        return None
    return header.made_by.get("command")


def ratio_of(hole: Bool[np.ndarray, "h w"]) -> float:
    """Return the share of hole pixels, in [0, 1]."""
    return int(np.count_nonzero(hole)) / hole.size


def check_edges(edges: Sequence[Any], name: str) -> None:
    """Raise InputError, with `name`, unless `edges` are at least two ascending floats in [0, 1]."""
    in_range = len(edges) >= 2 and all(isinstance(edge, float) and 0 <= edge <= 1 for edge in edges)
    if not (in_range and all(a < b for a, b in itertools.pairwise(edges))):
        raise InputError(f"{name}={edges!r}: must be at least two numbers that rise within [0, 1]")


def read_file(path: Path) -> bytes:
    """Return the content of a file. Raises InputError if it cannot be read."""
    try:
        return files.read_file(path)
    except OSError as reason:
        raise InputError(f"{path}: cannot be read ({reason.strerror}); give a readable file") from reason


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise InputError(f"{where}: is no JSON object; give a manifest written by mai_jax")
    return values


def _header(values: dict[str, Any], path: Path) -> Header:
    if values.get("format") != FORMAT:
        raise InputError(f"{path}: is no manifest of holes; give one written by mai_jax")
    if values.get("version") != VERSION:
        raise InputError(f"{path}: has format version {values.get('version')!r}, and this program reads {VERSION}; "
                         "use the version of mai_jax that wrote it")
    header = _build(Header, values, f"{path}: line 1")
    check_edges(header.edges, f"{path}: edges")
    if header.size is not None and not (header.size >= 1 and header.size**2 <= images.MAX_PIXELS):
        raise InputError(f"{path}: size={header.size!r}: must be 1 or more, with at most {images.MAX_PIXELS} pixels")
    if header.mask_means not in ("hole", "valid", "known"):
        raise InputError(f"{path}: mask_means={header.mask_means!r}: must be hole or valid")
    return header


def _entry(values: dict[str, Any], where: str, header: Header) -> Entry:
    entry = _build(Entry, values, where)
    # The rules of Windows cover both kinds of slashes and drives, so the check is the same on all systems.
    file = PureWindowsPath(entry.file)
    if file.anchor or ".." in file.parts:
        raise InputError(f"{where}: {entry.file!r} is outside of the manifest's folder; move the file into it")
    if not 0 <= entry.ratio <= 1 or entry.bin != bin_of(entry.ratio, header.edges):
        raise InputError(f"{where}: a ratio of {entry.ratio!r} is not in bin {entry.bin}; generate the manifest again")
    return entry


def _build(cls: type, values: dict[str, Any], where: str) -> Any:
    for field in fields(cls):
        value = values.get(field.name, ...)
        kind: Any = field.type  # a type or a union of types
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise InputError(f"{where}: field {field.name} is missing or of a wrong type; generate the manifest again")
    if unknown := sorted(set(values) - {field.name for field in fields(cls)}):
        raise InputError(f"{where}: field {unknown[0]} is unknown; use the version of mai_jax that wrote it")
    return cls(**values)


def _check_unique(ids: Sequence[str], path: Path) -> None:
    unique = set()
    for name in ids:
        if name in unique:
            raise InputError(f"{path}: lists {name!r} twice; generate the manifest again")
        unique.add(name)
