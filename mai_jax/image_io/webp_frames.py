"""Frames of an animated WebP (RFC 9649)."""

from collections.abc import Iterator, Sequence

from mai_jax.image_io.embedded_metadata import upright_exif
from mai_jax.image_io.frame import Frame, Frames
from mai_jax.image_io.header import open_header

CANVAS, FRAME = b"VP8X", b"ANMF"
PICTURE = (b"ALPH", b"VP8 ", b"VP8L")
HEAD = 16  # bytes of a frame before its picture: place, size, duration, flags
CLEAR, REPLACE = 1, 2  # flags of a frame
ALPHA = 0x10  # flag of the canvas

Chunks = list[tuple[bytes, bytes]]


def split(source: bytes) -> Frames:
    """Return the frames as WebP files."""
    chunks = list(_chunks(source, 12))
    canvas = dict(chunks)[CANVAS]
    stored = [data for kind, data in chunks if kind == FRAME]
    return Frames("WEBP", (_number(canvas, 7) + 1, _number(canvas, 4) + 1), len(stored), map(_frame, stored))


def join(source: bytes, frames: Sequence[Frame]) -> bytes:
    """Return the WebP with other frames; metadata have no thumbnails.

    The flag that says that frames are transparent stays: without it viewers do not show what was cleared as such.
    """
    remaining, parts = iter(frames), []
    for kind, data in _chunks(source, 12):
        if kind == FRAME:
            frame = next(remaining)
            data = data if frame == _frame(data) else _changed(data, frame)
        elif kind == b"EXIF":
            data = upright_exif(data)
        parts.append((kind, data))
    return _file(parts)


def _frame(data: bytes) -> Frame:
    picture = _pictures(data, HEAD)
    if picture[0][0] == b"ALPH":
        picture.insert(0, (CANVAS, bytes([ALPHA, 0, 0, 0]) + data[6:12]))
    flags = data[HEAD - 1]
    return Frame(_file(picture), 2 * _number(data, 0), 2 * _number(data, 3), bool(flags & REPLACE),
                 "clear" if flags & CLEAR else "keep")


def _changed(data: bytes, frame: Frame) -> bytes:
    """Return the frame with another picture, which may have another place and size."""
    header = open_header(frame.source)
    assert header is not None  # `encode` wrote it
    others = [(kind, content) for kind, content in _chunks(data, HEAD) if kind not in PICTURE]
    numbers = (frame.left // 2, frame.top // 2, header.width - 1, header.height - 1)
    place = b"".join(number.to_bytes(3, "little") for number in numbers)
    flags = data[HEAD - 1] & ~REPLACE | (REPLACE if frame.replaces else 0)
    return place + data[12 : HEAD - 1] + bytes([flags]) + _body(_pictures(frame.source, 12) + others)


def _pictures(content: bytes, place: int) -> Chunks:
    return [(kind, data) for kind, data in _chunks(content, place) if kind in PICTURE]


def _chunks(content: bytes, place: int) -> Iterator[tuple[bytes, bytes]]:
    while place + 8 <= len(content):
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        yield content[place : place + 4], content[place + 8 : place + 8 + size]
        place += 8 + size + size % 2


def _body(chunks: Chunks) -> bytes:
    return b"".join(kind + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2) for kind, data in chunks)


def _file(chunks: Chunks) -> bytes:
    body = b"WEBP" + _body(chunks)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def _number(data: bytes, place: int) -> int:
    return int.from_bytes(data[place : place + 3], "little")
