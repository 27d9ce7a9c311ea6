"""Frames of a GIF (GIF89a)."""

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mai_jax.image_io.frame import Disposal, Frame, Frames

EXTENSION, IMAGE, TRAILER = b"\x21", b"\x2c", b"\x3b"
GRAPHIC_CONTROL = 0xF9
TRANSPARENT = 1  # a flag of the control block; bits 2 to 4 are the disposal
DISPOSALS: dict[int, Disposal] = {2: "clear", 3: "restore"}
TABLE, TABLE_SIZE = 0x80, 0x07  # flags of a screen and of an image: it has colours, and the exponent of their number


class Image(NamedTuple):
    """An image of the file: its control block (flags, delay, transparent index), colours and compressed indices.

    `control` and `palette` may be empty. `flags` are those of the image without its palette.
    """

    control: bytes
    left: int
    top: int
    width: int
    height: int
    flags: int
    palette: bytes
    data: bytes


def split(source: bytes) -> Frames:
    """Return the frames, which share no colours any more."""
    images = [part for part in _parts(source) if isinstance(part, Image)]
    height = max([struct.unpack_from("<H", source, 8)[0], *(image.top + image.height for image in images)])
    width = max([struct.unpack_from("<H", source, 6)[0], *(image.left + image.width for image in images)])
    return Frames("GIF", (height, width), len(images), (_frame(image, source) for image in images))


def join(source: bytes, frames: Sequence[Frame]) -> bytes:
    """Return the GIF with other frames; an image keeps its palette unless its frame has another one."""
    shared, remaining = _palette(source, 10, 13), iter(frames)
    parts = [b"GIF89a", source[6 : 13 + len(shared)]]
    for part in _parts(source):
        if isinstance(part, Image):
            frame = next(remaining)
            part = _block(part if frame.source == _frame(part, source).source else _changed(part, frame, shared))
        parts.append(part)
    return b"".join([*parts, TRAILER])


def _frame(image: Image, source: bytes) -> Frame:
    palette = image.palette or _palette(source, 10, 13)
    screen = struct.pack("<HHBBB", image.width, image.height, _table_flags(palette), 0, 0)
    control = bytes([image.control[0] & TRANSPARENT, 0, 0, image.control[3]]) if image.control else b""
    disposal = DISPOSALS.get(image.control[0] >> 2 & 7, "keep") if image.control else "keep"
    alone = _block(image._replace(control=control, left=0, top=0, palette=b""))
    return Frame(b"GIF89a" + screen + palette + alone + TRAILER, image.left, image.top, False, disposal)


def _changed(image: Image, frame: Frame, shared: bytes) -> Image:
    (new,) = (part for part in _parts(frame.source) if isinstance(part, Image))
    palette = new.palette or _palette(frame.source, 10, 13)
    if palette == (image.palette or shared):
        palette = image.palette
    control = image.control or (bytes(4) if new.control else b"")
    if new.control:
        flags = control[0] & ~TRANSPARENT | new.control[0] & TRANSPARENT
        control = bytes([flags, *control[1:3], new.control[3]])
    return new._replace(control=control, left=frame.left, top=frame.top, palette=palette)


def _parts(source: bytes) -> Iterator[Image | bytes]:
    """Yield the images, and the other blocks as they are, up to the trailer or the end of the file."""
    place, control = 13 + len(_palette(source, 10, 13)), b""
    while place < len(source) and source[place : place + 1] != TRAILER:
        start, kind = place, source[place : place + 1]
        if kind == EXTENSION:
            place = _end_of_blocks(source, start + 2)
            if source[start + 1] == GRAPHIC_CONTROL:
                control = source[start + 3 : start + 7]
            else:
                yield source[start:place]
        elif kind == IMAGE:
            left, top, width, height, flags = struct.unpack_from("<HHHHB", source, start + 1)
            palette = _palette(source, start + 9, start + 10)
            begin = start + 10 + len(palette)
            place = _end_of_blocks(source, begin + 1)
            flags &= ~(TABLE | TABLE_SIZE)
            yield Image(control, left, top, width, height, flags, palette, source[begin:place])
            control = b""
        else:
            raise ValueError(f"an unknown block at byte {start}")


def _end_of_blocks(source: bytes, place: int) -> int:
    """Return the place after the sub-blocks that begin at `place`."""
    while source[place]:
        place += 1 + source[place]
    return place + 1


def _palette(source: bytes, flags_at: int, place: int) -> bytes:
    flags = source[flags_at]
    return source[place : place + (3 << (flags & TABLE_SIZE) + 1)] if flags & TABLE else b""


def _table_flags(palette: bytes) -> int:
    return TABLE | (len(palette) // 3).bit_length() - 2 if palette else 0


def _block(image: Image) -> bytes:
    control = bytes([*EXTENSION, GRAPHIC_CONTROL, 4]) + image.control + b"\0" if image.control else b""
    flags = image.flags | _table_flags(image.palette)
    place = struct.pack("<HHHHB", image.left, image.top, image.width, image.height, flags)
    return control + IMAGE + place + image.palette + image.data
