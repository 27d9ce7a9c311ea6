"""Which files of a folder are images, and their bytes."""

import errno
import os
import stat
from pathlib import Path

from mai_jax.types import InputError

EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff", ".tga",
              ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k")
MOST_BYTES = 2 * 2**30  # of a file: the largest photograph that can be used, uncompressed, with 16 bits, and some more


def find_images(folder: str, setting: str) -> list[str]:
    """Paths of all images below `folder`, relative to it, with "/", sorted; letter case of the extension is free.

    Hidden files and folders are passed over. Links are followed; a folder that is reached twice counts once, so a loop
    of links is harmless. Raises InputError, naming `setting`, if there is no such folder or no image in it.
    """
    root = Path(folder).expanduser()
    if not folder or not root.exists():
        raise InputError(f"{setting}={folder!r}: there is no such folder")
    if not root.is_dir():
        raise InputError(f"{setting}={folder!r}: is a file; name the folder that holds the images")
    found, seen = [], set()
    for here, folders, files in os.walk(root, onerror=_refuse, followlinks=True):
        status = os.stat(here)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        prefix = Path(here).relative_to(root).as_posix() + "/"
        found += [(prefix + name).removeprefix("./") for name in files
                  if not name.startswith(".") and name.lower().endswith(EXTENSIONS)]
    if not found:
        raise InputError(f"{setting}={folder!r}: holds no image; looked for {' '.join(EXTENSIONS)}, in any letter case")
    return sorted(found)


def read_file(path: Path) -> bytes:
    """The content of a file. Raises OSError for anything else too: a pipe would never answer, a device never end."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(path))
        if status.st_size > MOST_BYTES:
            raise OSError(errno.EFBIG, f"More than {MOST_BYTES >> 30} GiB", str(path))
        return file.read()


def _refuse(reason: OSError) -> None:
    raise InputError(f"{reason.filename}: cannot be listed ({reason.strerror}); allow reading or move it") from reason
