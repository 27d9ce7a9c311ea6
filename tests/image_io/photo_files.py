"""Image files of every kind, written without the package."""

import io
import struct
import zlib

import cv2
import numpy as np
from PIL import Image

CHANNELS = {"1": 1, "L": 1, "P": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
PNG_COLOUR = {"L": 0, "RGB": 2, "P": 3, "LA": 4, "RGBA": 6}


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def jpeg_segment(marker, data):
    return bytes([255, marker]) + struct.pack(">H", len(data) + 2) + data


def png(values, mode, depth, chunks=b"", *, interlaced=False):
    """Return a PNG of values [h, w, c] without filters."""
    coded = b""
    for top, left, down, across in ADAM7 if interlaced else ((0, 0, 1, 1),):
        part = np.ascontiguousarray(values[top::down, left::across])
        if depth == 16:
            part = part.astype(">u2").view(np.uint8)
        rows = part.reshape(len(part), -1)
        if depth < 8:
            bits = np.unpackbits(part, axis=2)[..., -depth:]
            rows = np.packbits(bits.reshape(len(part), -1), axis=1)
        coded += np.pad(rows, ((0, 0), (1, 0))).tobytes()
    header = struct.pack(">IIBBBBB", values.shape[1], len(values), depth, PNG_COLOUR[mode], 0, 0, interlaced)
    coded = zlib.compress(coded)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunks + chunk(b"IDAT", coded) + chunk(b"IEND", b"")


def saved(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def image(values, mode, palette=None):
    """Return a Pillow image of values [h, w, c]."""
    height, width = values.shape[:2]
    result = Image.frombytes(mode, (width, height), values.astype(np.uint8).tobytes()) if mode != "1" else \
        Image.fromarray(values[..., 0].astype(bool))  # fmt: skip
    if palette is not None:
        result.putpalette(palette.tobytes())
    return result


def saved_by_opencv(values, suffix):
    """Return a file with 16 bits per channel, written by OpenCV, which orders colours as BGR."""
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[values.shape[2]]
    return cv2.imencode(suffix, np.ascontiguousarray(values[..., order]))[1].tobytes()


def random_values(rng, shape, mode, depth):
    top = 1 << (1 if mode == "1" else depth)
    return rng.integers(0, top, (*shape, CHANNELS[mode])).astype(np.uint16 if depth == 16 else np.uint8)


def png_kind(mode, depth, *, transparent=False):
    def make(rng, shape):
        values = random_values(rng, shape, mode, depth)
        chunks = b""
        if mode == "P":
            colours = rng.integers(0, 256, (1 << depth, 3), dtype=np.uint8)
            chunks += chunk(b"PLTE", colours.tobytes())
        if transparent and mode == "P":
            chunks += chunk(b"tRNS", bytes([255, 0]) if depth < 8 else bytes([0, 255, 128] * 40))
        elif transparent:
            chunks += chunk(b"tRNS", values[0, 0].astype(">u2").tobytes())
        return png(values, mode, depth, chunks)

    return make


def pillow_kind(format, mode, **options):
    def make(rng, shape):
        palette = rng.integers(0, 256, (256, 3), dtype=np.uint8) if mode == "P" else None
        values = random_values(rng, shape, mode, 8)
        return saved(image(values % 16 if mode == "P" else values, mode, palette), format, **options)

    return make


def deep_tiff(mode):
    return lambda rng, shape: saved_by_opencv(random_values(rng, shape, mode, 16), ".tiff")


LOSSLESS = {
    **{f"PNG {mode} {depth}": png_kind(mode, depth) for mode, depth in (
        ("L", 1), ("L", 2), ("L", 4), ("L", 8), ("L", 16), ("P", 1), ("P", 2), ("P", 4), ("P", 8), ("LA", 8),
        ("LA", 16), ("RGB", 8), ("RGB", 16), ("RGBA", 8), ("RGBA", 16))},
    **{f"PNG {mode} {depth} key": png_kind(mode, depth, transparent=True) for mode, depth in (
        ("L", 1), ("L", 4), ("L", 16), ("P", 2), ("P", 8), ("RGB", 8), ("RGB", 16))},
    **{f"TIFF {mode} {packed}": pillow_kind("TIFF", mode, compression=packed)
       for mode in ("1", "L", "P", "LA", "RGB", "RGBA", "CMYK") for packed in ("raw", "tiff_lzw")},
    **{f"TIFF {mode} 16": deep_tiff(mode) for mode in ("L", "RGB", "RGBA")},
    **{f"BMP {mode}": pillow_kind("BMP", mode) for mode in ("1", "L", "P", "RGB")},
    **{f"WEBP {mode}": pillow_kind("WEBP", mode, lossless=True, exact=True) for mode in ("RGB", "RGBA")},
    "GIF L": pillow_kind("GIF", "L"), "GIF P": pillow_kind("GIF", "P"),
    "GIF P transparent": pillow_kind("GIF", "P", transparency=7),
}  # fmt: skip
