"""Where image files are: in a folder, of a list of paths, or in an archive. `sources` makes a source of them."""

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from mai_jax.data import archives
from mai_jax.errors import InputError
from mai_jax.files import find_images, name_some, read_file

LISTS = (".txt", ".flist", ".csv")
COMPRESSED = (".gz", ".tgz", ".bz2", ".xz", ".zst")
PATH_COLUMNS = ("path", "image", "file", "filename")  # of a CSV file, in any letter case
NUM_CHECKED = 100  # paths of a list, to notice paths that are relative to another folder


@runtime_checkable
class Container(Protocol):
    """The image files in one place: their names, each once, in a fixed order, and their content."""

    @property
    def names(self) -> Sequence[str]: ...

    def read(self, i: int) -> bytes:
        """Return the content of file `names[i]`. Raises InputError."""


class Folder:
    """Image files of a folder; the names are relative to it."""

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self.names = names
        self._root = root

    def read(self, i: int) -> bytes:
        path = self._root / self.names[i]  # an absolute name stays as it is
        try:
            return read_file(path)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); restore it or remove it") from error


def open_container(address: str, setting: str) -> Container:
    """Return the image files of a folder, a list or an archive. Raises InputError, which names `setting`."""
    path, ending = Path(address).expanduser(), Path(address).suffix.lower()
    if not path.is_file():
        return Folder(path, find_images(address, setting))
    if ending in LISTS:
        return Folder(path.parent, _listed(path))
    if ending == ".zip":
        return archives.ZipArchive(path)
    if ending == ".tar":
        return archives.TarArchive(path)
    if ending in COMPRESSED:
        raise InputError(f"{setting}={address!r}: is compressed as a whole, so files in it cannot be read on their own"
                         "; decompress it to .tar, or pack a .zip")
    raise InputError(f"{setting}={address!r}: is a file; name the folder that holds the images, a list of their paths "
                     f"({', '.join(LISTS)}) or an archive (.zip, .tar)")


def _listed(path: Path) -> list[str]:
    """Return the paths of a list, as they are written. Raises InputError for none, for repeated and for wrong ones."""
    names: dict[str, int] = {}
    for line, name in _lines(path):
        if name in names:
            raise InputError(f"{path}, line {line}: {name} is listed in line {names[name]}, too; remove one of them")
        names[name] = line
    if not names:
        raise InputError(f"{path}: lists no file; write one path a line")
    first = list(names)[:NUM_CHECKED]
    if not any(os.path.exists(path.parent / name) for name in first):
        raise InputError(f"{path}: none of the files of its first {len(first)} lines exists: {name_some(first)}; paths "
                         f"are absolute or relative to the folder of the list, {path.parent}")
    return list(names)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number and the path of each line that is not empty: of a CSV file, the column of the paths."""
    try:
        content = read_file(path).removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); name a list of paths") from error
    if b"\0" in content:
        line = len(content.partition(b"\0")[0].splitlines()) or 1
        raise InputError(f"{path}, line {line}: has a zero byte, as text in UTF-16; save the list as UTF-8")
    lines = os.fsdecode(content).splitlines()
    if path.suffix.lower() != ".csv":
        yield from ((number, line.strip()) for number, line in enumerate(lines, 1) if line.strip())
        return
    column = None
    rows = csv.reader(lines)
    try:
        for row in rows:
            if column is None:
                heads = [head.strip().lower() for head in row]
                column = next((heads.index(head) for head in PATH_COLUMNS if head in heads), None)
                if column is not None:
                    continue
                column = 0
            if len(row) > column and row[column].strip():
                yield rows.line_num, row[column].strip()
    except csv.Error as error:
        raise InputError(f"{path}, line {rows.line_num}: is not CSV ({error}); write one path a line") from error
