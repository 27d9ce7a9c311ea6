"""Files on disk: atomic writes, bounded reads, and the image files of a folder."""

import errno
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path

from mai_jax.errors import InputError

EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff", ".tga",
              ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k")
NUM_NAMED = 5  # files in a message
MAX_BYTES = 2 * 2**30  # file size limit: above the largest accepted photograph, uncompressed, with 16 bits per channel


def find_images(folder: str, setting: str) -> list[str]:
    """Return the paths of all images below `folder`, relative to it, with "/", sorted.

    The extension may be in any letter case. Hidden files and folders are skipped. Links are followed; a folder that is
    reached twice is listed once, so loops of links end. Raises InputError, which names `setting`, if there is no such
    folder or no image in it.
    """
    return list_folder(folder, setting)[0]


def list_folder(folder: str, setting: str, extensions: tuple[str, ...] = EXTENSIONS) -> tuple[list[str], list[str]]:
    """Return the files below `folder` that end in `extensions`, as `find_images`, and the other files."""
    root = Path(folder).expanduser()
    if not folder or not root.exists():
        raise InputError(f"{setting}={folder!r}: there is no such folder")
    if not root.is_dir():
        raise InputError(f"{setting}={folder!r}: is a file; name the folder that holds the images")
    found: list[str] = []
    others: list[str] = []
    visited = set()
    for current, folders, files in os.walk(root, onerror=_raise_unlistable, followlinks=True):
        status = os.stat(current)
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        prefix = Path(current).relative_to(root).as_posix() + "/"
        for name in files:
            if not name.startswith("."):
                is_image = name.lower().endswith(extensions)
                (found if is_image else others).append((prefix + name).removeprefix("./"))
    if not found:
        instead = f"; found {name_some(sorted(others))}" if others else ""
        raise InputError(f"{setting}={folder!r}: holds no image; looked for {' '.join(extensions)}, in any letter case"
                         f"{instead}")
    return sorted(found), sorted(others)


def name_some(names: Sequence[str]) -> str:
    """Return the names, or the first few and the number of the others, as in "a, b and 3 more"."""
    more = f" and {len(names) - NUM_NAMED} more" if len(names) > NUM_NAMED else ""
    return ", ".join(names[:NUM_NAMED]) + more


def read_file(path: Path) -> bytes:
    """Return the content of a file.

    Raises OSError if it cannot be read, is not a regular file (reading a pipe would block, reading a device would not
    end) or is larger than MAX_BYTES.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(path))
        if status.st_size > MAX_BYTES:
            raise OSError(errno.EFBIG, f"More than {MAX_BYTES >> 30} GiB", str(path))
        return file.read()


def _raise_unlistable(error: OSError) -> None:
    raise InputError(f"{error.filename}: cannot be listed ({error.strerror}); allow reading or move it") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that at any time either the old or the complete new content is there. Raises OSError.

    Processes that write the same file do not disturb each other.
    """
    unfinished = path.with_name(unfinished_name())
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    except BaseException as error:  # a full disk, or Ctrl-C
        unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None  # not the temporary name
        raise


def unfinished_name() -> str:
    """Return the name under which a file is written: unique, hidden, and short, whatever the length of its own."""
    return f".{secrets.token_hex(8)}.unfinished"
