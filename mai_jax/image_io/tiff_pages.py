"""Pages of a TIFF (TIFF 6.0). Thumbnails among them are left out, because they would still show the hole's content."""

import struct
from collections.abc import Iterator, Sequence

from mai_jax.image_io.frame import Frame, Frames
from mai_jax.image_io.tiff import EXIF, GPS, SHORT, STRIPS

KIND, REDUCED = 254, 1  # tag, and its flag for a picture of lower resolution
INTEROPERABILITY = 40965
SIZE_OF_TYPE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
BIG = 43  # version with offsets of 8 bytes


def split(source: bytes) -> Frames:
    """Return the pages: the file with each page as the first and only one."""
    pages = [place for place, is_reduced in _directories(source) if not is_reduced]
    return Frames("TIFF", (0, 0), len(pages), (Frame(_alone(source, place), is_page=True) for place in pages))


def join(source: bytes, frames: Sequence[Frame]) -> bytes:
    """Return the TIFF of these pages, which `tiff.rewrite` wrote."""
    del source  # its tags are in the pages
    joined, link = bytearray(), 0
    for frame in frames:
        page = bytearray(frame.source)
        order = "<" if page[:2] == b"II" else ">"
        start = len(joined) + len(joined) % 2
        (first,) = struct.unpack_from(order + "I", page, 4)
        end = _move(page, order, first, start)
        joined += bytes(start - len(joined)) + page
        if link:
            struct.pack_into(order + "I", joined, link, start + first)
        link = start + end
    return bytes(joined)


def _move(page: bytearray, order: str, directory: int, by: int) -> int:
    """Add `by` to all offsets of a directory and those below it; return the place of its link to the next."""
    (count,) = struct.unpack_from(order + "H", page, directory)
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, kind, number, value = struct.unpack_from(order + "HHII", page, entry)
        is_outside = SIZE_OF_TYPE[kind] * number > 4
        if tag == STRIPS and is_outside:
            places = struct.unpack_from(f"{order}{number}I", page, value)
            struct.pack_into(f"{order}{number}I", page, value, *(place + by for place in places))
        elif tag in (EXIF, GPS, INTEROPERABILITY) and not is_outside:
            _move(page, order, value, by)
        if is_outside or tag in (STRIPS, EXIF, GPS, INTEROPERABILITY):
            struct.pack_into(order + "I", page, entry + 8, value + by)
    return directory + 2 + 12 * count


def _layout(source: bytes) -> tuple[str, str, int, int]:
    """Return the formats of offsets and of numbers of entries, the size of an entry, and the place of the first offset.

    A BigTIFF has larger ones.
    """
    order = "<" if source[:2] == b"II" else ">"
    (version,) = struct.unpack_from(order + "H", source, 2)
    return (order + "Q", order + "Q", 20, 8) if version == BIG else (order + "I", order + "H", 12, 4)


def _directories(source: bytes) -> Iterator[tuple[int, bool]]:
    """Yield the place of each page's directory, and whether the page is a thumbnail."""
    offset, number, size, link = _layout(source)
    seen = set()
    (place,) = struct.unpack_from(offset, source, link)
    while place and place not in seen:
        seen.add(place)
        (count,) = struct.unpack_from(number, source, place)
        entries = place + struct.calcsize(number)
        end, is_reduced = entries + size * count, False
        for entry in range(entries, end, size):
            tag, kind = struct.unpack_from(offset[0] + "HH", source, entry)
            if tag == KIND:
                value_format = offset[0] + ("H" if kind == SHORT else "I")
                (value,) = struct.unpack_from(value_format, source, entry + size - struct.calcsize(offset))
                is_reduced = bool(value & REDUCED)
        yield place, is_reduced
        (place,) = struct.unpack_from(offset, source, end)


def _alone(source: bytes, place: int) -> bytes:
    offset, number, size, link = _layout(source)
    page = bytearray(source)
    struct.pack_into(offset, page, link, place)
    (count,) = struct.unpack_from(number, source, place)
    struct.pack_into(offset, page, place + struct.calcsize(number) + size * count, 0)
    return bytes(page)
