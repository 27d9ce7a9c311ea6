"""The EXIF orientation: applied to pixels, then set to 1 wherever a file says it."""

import re
import struct

import numpy as np
from jaxtyping import UInt8, UInt16

ORIENTATION, THUMBNAIL_START, THUMBNAIL_LENGTH = 0x0112, 0x0201, 0x0202
XMP_ORIENTATION = re.compile(rb'(tiff:Orientation(?:="|>))[0-9]')

TURNS = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}


def turned(
    pixels: UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"], orientation: int
) -> UInt8[np.ndarray, "a b c"] | UInt16[np.ndarray, "a b c"]:
    """The pixels as they are to be seen; an orientation that EXIF does not know turns nothing."""
    return np.ascontiguousarray(TURNS.get(orientation, lambda same: same)(pixels))


def upright_exif(exif: bytes) -> bytes:
    """The same EXIF block, every other byte at its place, for pixels that are upright and without its thumbnail.

    The thumbnail would still show what has been painted over.
    """
    start = 6 if exif.startswith(b"Exif\0\0") else 0
    if len(exif) < start + 8:
        return exif
    block = bytearray(exif[start:])
    order = "<" if block[:2] == b"II" else ">"
    (first,) = struct.unpack_from(order + "I", block, 4)
    for place, tag, _ in _entries(block, order, first):
        if tag == ORIENTATION:
            struct.pack_into(order + "HHIHH", block, place, ORIENTATION, 3, 1, 1, 0)
    (entries,) = struct.unpack_from(order + "H", block, first)
    link = first + 2 + 12 * entries
    second = struct.unpack_from(order + "I", block, link)[0] if link + 4 <= len(block) else 0
    if second:
        thumbnail = {tag: value for _, tag, value in _entries(block, order, second)}
        begin, length = thumbnail.get(THUMBNAIL_START, 0), thumbnail.get(THUMBNAIL_LENGTH, 0)
        end = min(begin + length, len(block))
        block[begin:end] = bytes(max(end - begin, 0))
        struct.pack_into(order + "I", block, link, 0)
    return exif[:start] + bytes(block)


def upright_xmp(xmp: bytes) -> bytes:
    """The same XMP packet, as long as before, for pixels that are upright."""
    return XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def _entries(block, order, place):
    """(place, tag, value as an integer) of each entry of the directory at `place`."""
    (count,) = struct.unpack_from(order + "H", block, place)
    for entry in range(place + 2, place + 2 + 12 * count, 12):
        tag, kind, _, value = struct.unpack_from(order + "HHII", block, entry)
        short = kind == 3
        yield entry, tag, struct.unpack_from(order + "H", block, entry + 8)[0] if short else value
