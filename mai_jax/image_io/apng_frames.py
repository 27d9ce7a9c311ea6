"""Frames of an animated PNG (ISO/IEC 15948, third edition).

A first picture that is no part of the animation, which programs without animations show, is a page.
"""

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import PngImagePlugin

from mai_jax.image_io import png
from mai_jax.image_io.decode import decode
from mai_jax.image_io.frame import Disposal, Frame, Frames
from mai_jax.image_io.header import open_header

CONTROL = ">IIIIIHHBB"  # number, width, height, left, top, delay as a fraction, disposal, blending
DISPOSALS: tuple[Disposal, ...] = ("keep", "clear", "restore")
COLOURS = (b"PLTE", b"tRNS")
INTERLACED = 12  # position in the header


@dataclass
class Picture:
    """The control of a frame, None for a picture outside the animation, and its compressed pixels."""

    control: bytes | None
    kind: bytes
    parts: list[bytes] = field(default_factory=list)


def split(source: bytes) -> Frames:
    """Return the frames as PNG files with the palette and the transparency of the file."""
    chunks = png.chunks(source)
    header = dict(chunks)[b"IHDR"]
    width, height = struct.unpack_from(">II", header)
    shared = [(kind, data) for kind, data in chunks if kind in COLOURS]

    def frame(picture: Picture) -> Frame:
        rest = [*shared, (b"IDAT", b"".join(picture.parts)), (b"IEND", b"")]
        if picture.control is None:
            return Frame(png.file_of([(b"IHDR", header), *rest]), is_page=True)
        _, w, h, left, top, _, _, disposal, blending = struct.unpack(CONTROL, picture.control)
        file = png.file_of([(b"IHDR", struct.pack(">II", w, h) + header[8:]), *rest])
        return Frame(file, left, top, not blending, DISPOSALS[disposal])

    pictures = [entry for entry in _entries(chunks) if isinstance(entry, Picture)]
    return Frames("PNG", (height, width), len(pictures), map(frame, pictures))


def join(source: bytes, frames: Sequence[Frame]) -> bytes:
    """Return the PNG with other frames. It is not interlaced, and metadata have no thumbnails."""
    header = PngImagePlugin.PngImageFile(io.BytesIO(source))
    remaining, parts, number = iter(frames), [], 0
    for entry in _entries(png.chunks(source)):
        if not isinstance(entry, Picture):
            kind, data = entry
            parts.append((kind, data[:INTERLACED] + b"\0") if kind == b"IHDR" else png.upright(kind, data, header))
            continue
        frame = next(remaining)
        file = dict(png.chunks(_progressive_free(frame.source)))
        if entry.control is not None:
            *_, numerator, denominator, disposal, _ = struct.unpack(CONTROL, entry.control)
            w, h = struct.unpack_from(">II", file[b"IHDR"])
            placed = (number, w, h, frame.left, frame.top, numerator, denominator, disposal, not frame.replaces)
            parts.append((b"fcTL", struct.pack(CONTROL, *placed)))
            number += 1
        if entry.kind == b"IDAT":
            parts.append((b"IDAT", file[b"IDAT"]))
        else:
            parts.append((b"fdAT", struct.pack(">I", number) + file[b"IDAT"]))
            number += 1
    return png.file_of(parts)


def _entries(chunks: png.Chunks) -> list[Picture | tuple[bytes, bytes]]:
    """Return the chunks, those of each frame joined to a picture."""
    entries: list[Picture | tuple[bytes, bytes]] = []
    picture, control = None, None
    for kind, data in chunks:
        if kind == b"fcTL":
            control, picture = data, None
        elif kind in (b"IDAT", b"fdAT"):
            if picture is None:
                picture = Picture(control, kind)
                entries.append(picture)
            picture.parts.append(data if kind == b"IDAT" else data[4:])
        else:
            entries.append((kind, data))
    return entries


def _progressive_free(file: bytes) -> bytes:
    """Return a PNG file as it is, or with the same pixels not interlaced."""
    if not dict(png.chunks(file))[b"IHDR"][INTERLACED]:
        return file
    header = open_header(file)
    assert isinstance(header, PngImagePlugin.PngImageFile)
    return png.rewrite(file, header, decode(file, "frame").samples)
