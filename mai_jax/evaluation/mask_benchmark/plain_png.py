"""PNG files with one bit per pixel, whose bytes depend on the pixels only.

The output of compressors depends on version and machine, so the pixels are not compressed: 8 KB for 256 x 256.
"""

import struct
import zlib

import numpy as np
from jaxtyping import Bool

BLOCK = 65535  # maximum size in bytes of a stored block of a deflate stream


def encode(white: Bool[np.ndarray, "h w"]) -> bytes:
    """Return a black and white PNG file, white where `white` is True."""
    height, width = white.shape
    rows = np.pad(np.packbits(white, axis=1), ((0, 0), (1, 0)))  # the filter byte of each row: no filter
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)  # one bit, grey, not interlaced
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", _stored(rows.tobytes())) + _chunk(b"IEND")


def _chunk(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _stored(content: bytes) -> bytes:
    """Return a zlib stream (RFC 1950, 1951) without compression."""
    stream = b"\x78\x01"
    for start in range(0, len(content), BLOCK):
        block = content[start:start + BLOCK]
        last = start + BLOCK >= len(content)
        stream += struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF) + block
    return stream + struct.pack(">I", zlib.adler32(content))
