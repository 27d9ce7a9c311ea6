"""Files of several frames or pages, taken apart into files of one picture each and put together again.

`split` returns every stored frame as a file of its own, which `decode` and `encode` handle as any other; `join` puts
frames back with everything else of the file: order, timing, loops, disposal, palettes, metadata. A frame that is not
changed keeps its bytes, except a page of a TIFF and a frame of an interlaced PNG, which keep their pixels.
"""

from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

from PIL import Image

from mai_jax.errors import InputError
from mai_jax.image_io import apng_frames, gif_frames, tiff_pages, webp_frames
from mai_jax.image_io.embedded_metadata import ORIENTATION
from mai_jax.image_io.frame import Frame, Frames
from mai_jax.image_io.header import ignore_pillow_warnings, open_header
from mai_jax.image_io.photo import MAX_PIXELS

MODULES = {"GIF": gif_frames, "PNG": apng_frames, "WEBP": webp_frames, "TIFF": tiff_pages}


def is_several(encoded: bytes) -> bool:
    """Return whether the file has several frames or pages that `split` returns; False for a damaged file."""
    try:
        with ignore_pillow_warnings():
            header = open_header(encoded)
            return header is not None and header.format in MODULES and bool(getattr(header, "is_animated", False))
    except Exception:  # on damaged bytes Pillow raises anything; `decode` says what is wrong
        return False


def split(encoded: bytes, name: str) -> Frames:
    """Return the frames of a file that `is_several`. Raises InputError, which calls the file `name`."""
    module, orientation = _checked(_open, name, encoded)
    frames: Frames = _checked(module.split, name, encoded)
    height, width = frames.size
    if height * width > MAX_PIXELS:
        raise InputError(f"{name}: has {width} x {height} pixels, and the limit is {MAX_PIXELS}; make it smaller")
    if orientation != 1 and module is not tiff_pages:
        raise InputError(f"{name}: an EXIF tag turns its frames, which is not supported; save it upright")
    return frames._replace(frames=_guarded(iter(frames.frames), name))


def join(encoded: bytes, name: str, frames: Sequence[Frame]) -> bytes:
    """Return the file `encoded` with other frames, of the number that `split` returned."""
    module, _ = _checked(_open, name, encoded)
    return _checked(module.join, name, encoded, frames)


def _open(encoded: bytes) -> tuple[ModuleType, int]:
    """Return the module of the file's format and its orientation."""
    header, exif = open_header(encoded), Image.Exif()
    assert header is not None and header.format is not None, "not of several frames"
    exif.load(header.info.get("exif") or b"")
    return MODULES[header.format], exif.get(ORIENTATION, 1)


def _guarded(frames: Iterator[Frame], name: str) -> Iterator[Frame]:
    while frame := _checked(next, name, frames, None):
        yield frame


def _checked(work: Callable, name: str, *arguments: Any) -> Any:
    try:
        with ignore_pillow_warnings():
            return work(*arguments)
    except InputError:
        raise
    except Exception as reason:  # of damaged bytes: IndexError, struct.error and others
        why = " ".join(str(reason).split()) or type(reason).__name__
        raise InputError(f"{name}: its frames cannot be taken apart ({why}); save it again") from reason
