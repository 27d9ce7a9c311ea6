"""Image files in .zip and uncompressed .tar archives, read in place: nothing is extracted to the disk.

The index of an archive is read once. After that each file is read on its own, in any order and by any thread.
"""

import os
import stat
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from mai_jax.errors import InputError
from mai_jax.files import EXTENSIONS, MAX_BYTES

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
ENCRYPTED = 0x2041  # bits of a zip entry's flags: encryption, strong encryption, encrypted headers
HEADER = 30  # bytes of a zip entry's local header, before its name and extra field
LOCAL = b"PK\x03\x04"
# An entry above the first size that expands by more than the second factor is no photograph.
LARGE, MAX_EXPANSION = 64 * 2**20, 200


class Entry(NamedTuple):
    """A file of an archive: `offset` and `stored` are the place and number of its bytes, `size` its unpacked size."""

    name: str
    offset: int
    stored: int
    size: int
    method: int = STORED
    checksum: int = -1  # CRC-32, if the archive has one


class Archive(ABC):
    """The image files of an archive; the names are their paths in it, sorted.

    Hidden files are left out. Opening raises InputError if the archive is damaged, a name is there twice, or an image
    is a link, encrypted, or larger than MAX_BYTES.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with path.open("rb") as file:
                self._version = _version(file)
                entries = [*self._entries(file)]
        except InputError:
            raise
        except Exception as error:  # on damaged archives Python's readers raise anything, from OSError to struct.error
            raise self._unusable(f"cannot be read ({_reason(error)})", "replace it") from error
        entries = sorted(entry for entry in entries if _is_image(entry.name))
        if not entries:
            raise self._unusable("holds no image", f"looked for {' '.join(EXTENSIONS)}, in any letter case")
        self.names = [entry.name for entry in entries]
        for name, following in zip(self.names, self.names[1:], strict=False):
            if name == following:
                raise self._unusable(f"holds {name} twice", "pack it again")
        self._places = np.array([entry[1:] for entry in entries], np.int64)

    def read(self, i: int) -> bytes:
        """Return the content of file `names[i]`. Raises InputError."""
        entry = Entry(self.names[i], *map(int, self._places[i]))
        try:
            with self._path.open("rb", buffering=0) as file:
                if _version(file) != self._version:
                    raise ValueError("the archive has changed since it was opened")
                content = self._content(file, entry)
            if len(content) != entry.size:
                raise ValueError("its size is not that of the index")
            if entry.checksum >= 0 and zlib.crc32(content) != entry.checksum:
                raise ValueError("its checksum differs")
        except (OSError, ValueError, zlib.error) as error:
            raise self._unusable(f"{entry.name} in it cannot be read ({_reason(error)})", "pack it again") from error
        return content

    @abstractmethod
    def _entries(self, file: IO[bytes]) -> Iterator[Entry]:
        """Yield the files of the archive. Raises InputError for an image that cannot be read in place."""

    @abstractmethod
    def _content(self, file: IO[bytes], entry: Entry) -> bytes:
        """Return the unpacked content, at most `entry.size` bytes."""

    def _check(self, name: str, size: int, stored: int) -> None:
        if max(size, stored) > MAX_BYTES or (size > LARGE and size > MAX_EXPANSION * stored):
            raise self._unusable(f"{name} in it has {size:,} bytes, unpacked from {stored:,}",
                                 f"an image may have {MAX_BYTES >> 30} GiB and expand {MAX_EXPANSION}-fold")

    def _unusable(self, problem: str, advice: str) -> InputError:
        return InputError(f"{self._path}: {problem}; {advice}")


class ZipArchive(Archive):
    """A zip archive with stored or deflated entries."""

    def _entries(self, file):
        for info in zipfile.ZipFile(file).infolist():
            name = info.filename
            if info.is_dir() or not _is_image(name):
                continue
            if stat.S_ISLNK(info.external_attr >> 16):
                raise self._unusable(f"{name} in it is a link, which is not followed", "pack the files themselves")
            if info.flag_bits & ENCRYPTED:
                raise self._unusable(f"{name} in it is encrypted", "pack it without a password")
            if info.compress_type not in (STORED, DEFLATED):
                raise self._unusable(f"{name} in it is compressed by method {info.compress_type}",
                                     "pack it with the method deflate, or without compression (zip -0)")
            self._check(name, info.file_size, info.compress_size)
            yield Entry(name, info.header_offset, info.compress_size, info.file_size, info.compress_type, info.CRC)

    def _content(self, file, entry):
        header = _read_at(file, entry.offset, HEADER)
        if header[:4] != LOCAL:
            raise ValueError("its header is damaged")
        before = sum(int.from_bytes(header[i : i + 2], "little") for i in (26, 28))
        content = _read_at(file, entry.offset + HEADER + before, entry.stored)
        if entry.method == STORED:
            return content
        unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
        return unpacking.decompress(content, entry.size + 1)  # one more, so that a wrong size is noticed


class TarArchive(Archive):
    """A tar archive that is not compressed."""

    def _entries(self, file):
        with tarfile.open(fileobj=file, mode="r:") as archive:
            while (info := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # otherwise all of them stay in memory
                name = info.name.removeprefix("./")
                if info.isdir() or not _is_image(name):
                    continue
                if info.issym() or info.islnk():
                    raise self._unusable(f"{name} in it is a link, which is not followed",
                                         "pack it with tar --dereference --hard-dereference")
                if not info.isreg() or info.issparse():
                    raise self._unusable(f"{name} in it is not a plain file", "pack the files without --sparse")
                self._check(name, info.size, info.size)
                yield Entry(name, info.offset_data, info.size, info.size)
            if _read_at(file, archive.offset, tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise ValueError("it is cut off or damaged")

    def _content(self, file, entry):
        return _read_at(file, entry.offset, entry.stored)


def _is_image(name: str) -> bool:
    is_hidden = any(part.startswith(".") and part != "." for part in name.split("/"))
    return name.lower().endswith(EXTENSIONS) and not is_hidden


def _version(file: IO[bytes]) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def _read_at(file: IO[bytes], offset: int, size: int) -> bytes:
    """Return the bytes from `offset` on, at most `size`: fewer at the end of the file."""
    file.seek(offset)
    parts = []
    while size > 0 and (part := file.read(size)):  # a raw file may return fewer than it has
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__
