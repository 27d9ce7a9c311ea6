"""Metadata blocks inside image files: EXIF and XMP orientation, EXIF and Photoshop thumbnails.

The orientation is applied to the pixels and set to 1 in the metadata. Thumbnails are removed, because they would still
show the content of the hole.
"""

import re
import struct

import numpy as np
from jaxtyping import UInt8, UInt16

ORIENTATION, THUMBNAIL_START, THUMBNAIL_LENGTH = 0x0112, 0x0201, 0x0202  # tags of EXIF
XMP_ORIENTATION = re.compile(rb'(tiff:Orientation(?:="|>))[0-9]')
PHOTOSHOP_THUMBNAILS = (1033, 1036)  # resource identifiers

ROTATIONS = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}


def apply_orientation(
    pixels: UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"], orientation: int
) -> UInt8[np.ndarray, "a b c"] | UInt16[np.ndarray, "a b c"]:
    """Return the pixels upright; an orientation that EXIF does not define changes nothing."""
    return np.ascontiguousarray(ROTATIONS.get(orientation, lambda same: same)(pixels))


def upright_exif(exif: bytes) -> bytes:
    """Return the EXIF block with orientation 1 and without its thumbnail, all other bytes at their offsets.

    Raises struct.error if the block is damaged.
    """
    start = 6 if exif.startswith(b"Exif\0\0") else 0
    if len(exif) < start + 8:
        return exif
    block = bytearray(exif[start:])
    order = "<" if block[:2] == b"II" else ">"
    (first,) = struct.unpack_from(order + "I", block, 4)
    for offset, tag, _ in _entries(block, order, first):
        if tag == ORIENTATION:
            struct.pack_into(order + "HHIHH", block, offset, ORIENTATION, 3, 1, 1, 0)
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
    """Return the XMP packet with orientation 1; its length does not change."""
    return XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def without_thumbnails(resources: bytes) -> bytes:
    """Return Photoshop image resources without thumbnails."""
    kept, place = [], 0
    while resources[place : place + 4] == b"8BIM" and place + 12 <= len(resources):
        (kind,) = struct.unpack_from(">H", resources, place + 4)
        title = 1 + resources[place + 6]
        size_at = place + 6 + title + title % 2
        if size_at + 4 > len(resources):
            break
        (size,) = struct.unpack_from(">I", resources, size_at)
        end = size_at + 4 + size + size % 2
        if kind not in PHOTOSHOP_THUMBNAILS:
            kept.append(resources[place:end])
        place = end
    return b"".join(kept) + resources[place:]


def _entries(block, order, offset):
    """Yield (offset, tag, value as an integer) of each entry of the directory at `offset`."""
    (count,) = struct.unpack_from(order + "H", block, offset)
    for entry in range(offset + 2, offset + 2 + 12 * count, 12):
        tag, kind, _, value = struct.unpack_from(order + "HHII", block, entry)
        short = kind == 3
        yield entry, tag, struct.unpack_from(order + "H", block, entry + 8)[0] if short else value
