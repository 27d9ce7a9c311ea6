"""Writing of PNG files (ISO/IEC 15948) of every depth, with the chunks of another file."""

import struct
import zlib

import numpy as np
from jaxtyping import UInt8
from PIL import PngImagePlugin

from mai_jax.image_io.embedded_metadata import upright_exif, upright_xmp
from mai_jax.image_io.photo import Samples

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPE = {"L": 0, "RGB": 2, "P": 3, "LA": 4, "RGBA": 6}
PIXEL_CHUNKS = (b"IHDR", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT")
XMP_KEYWORD, OLD_EXIF_KEYWORD = b"XML:com.adobe.xmp\0", b"Raw profile type exif\0"
ROWS = 128  # filtered at a time

Chunks = list[tuple[bytes, bytes]]


def chunks(encoded: bytes) -> Chunks:
    """Return (kind, data) of each chunk, in order. Raises ValueError if the file ends before its last chunk."""
    found: Chunks = []
    place = len(SIGNATURE)
    while not found or found[-1][0] != b"IEND":
        if place + 12 > len(encoded):
            raise ValueError("the file is truncated")
        (size,) = struct.unpack_from(">I", encoded, place)
        found.append((encoded[place + 4 : place + 8], encoded[place + 8 : place + 8 + size]))
        place += 12 + size
    return found


def rewrite(source: bytes, header: PngImagePlugin.PngImageFile, samples: Samples) -> bytes:
    """Return a PNG of the samples with the other chunks of `source`, with orientation 1."""
    kept = [upright(kind, data, header) for kind, data in chunks(source) if kind not in PIXEL_CHUNKS]
    return _file(samples, kept)


def write(samples: Samples, icc: bytes, exif: bytes, xmp: bytes, dpi: tuple[float, float] | None) -> bytes:
    """Return a new PNG of samples without palette; empty metadata are not written."""
    metadata = []
    if icc:
        metadata.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(icc)))
    if dpi:
        metadata.append((b"pHYs", struct.pack(">IIB", *(round(side / 0.0254) for side in dpi), 1)))
    if exif:
        metadata.append((b"eXIf", exif))
    if xmp:
        metadata.append((b"iTXt", _xmp_text(xmp)))
    return _file(samples, metadata)


def upright(kind: bytes, data: bytes, header: PngImagePlugin.PngImageFile) -> tuple[bytes, bytes]:
    """Return a chunk of the opened file with orientation 1 and without a thumbnail, if it holds metadata."""
    if kind == b"eXIf":
        return kind, upright_exif(data)
    if data.startswith(OLD_EXIF_KEYWORD) and kind in (b"tEXt", b"zTXt"):
        return b"eXIf", upright_exif(header.getexif().tobytes()).removeprefix(b"Exif\0\0")
    if kind == b"iTXt" and data.startswith(XMP_KEYWORD):
        return kind, _xmp_text(upright_xmp(header.info["xmp"]))
    return kind, data


def _xmp_text(xmp):
    return XMP_KEYWORD + bytes(4) + xmp  # not compressed, no language, no translated keyword


def _file(samples, metadata):
    height, width = samples.values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, samples.depth, COLOUR_TYPE[samples.mode], 0, 0, 0)
    return file_of([(b"IHDR", header), *metadata, (b"IDAT", _pixels(samples)), (b"IEND", b"")])


def file_of(parts: Chunks) -> bytes:
    """Return the PNG with these chunks."""
    encoded = (struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
               for kind, data in parts)  # fmt: skip
    return SIGNATURE + b"".join(encoded)


def _pixels(samples):
    """Return the compressed rows, each after the number of its filter.

    Palette indices and packed bits are not filtered, because they compress better without.
    """
    plain = samples.mode == "P" or samples.depth < 8
    compress = zlib.compressobj(6)
    above, compressed = None, []
    for start in range(0, len(samples.values), ROWS):
        rows, step = _rows(samples, slice(start, start + ROWS))
        above = np.zeros_like(rows[:1]) if above is None else above
        shifted = np.concatenate([above, rows[:-1]])
        filtered = np.pad(rows, ((0, 0), (1, 0))) if plain else _filter_rows(rows, shifted, step)
        above = rows[-1:]
        compressed.append(compress.compress(filtered.tobytes()))
    return b"".join([*compressed, compress.flush()])


def _rows(samples, part) -> tuple[UInt8[np.ndarray, "rows bytes"], int]:
    """Return the bytes of the rows and the number of bytes per pixel."""
    values = samples.values[part]
    height, channels = len(values), values.shape[2]
    if samples.depth == 16:
        return values.astype(">u2").view(np.uint8).reshape(height, -1), 2 * channels
    if samples.depth == 8:
        return values.reshape(height, -1), channels
    bits = np.unpackbits(values, axis=2)[..., -samples.depth :]
    return np.packbits(bits.reshape(height, -1), axis=1), 1


def _filter_rows(rows, above, step):
    """Return each row after the number of its filter: of filters 1 to 4 that with the least sum of absolute values."""
    before = np.zeros((len(rows), step), np.uint8)
    left = np.concatenate([before, rows[:, :-step]], 1).astype(np.int16)
    corner = np.concatenate([before, above[:, :-step]], 1).astype(np.int16)
    up = above.astype(np.int16)
    predictors = (left, up, (left + up) >> 1, _paeth(left, up, corner))
    filtered = np.stack([rows - predictor.astype(np.uint8) for predictor in predictors])
    best = np.abs(filtered.view(np.int8).astype(np.int16)).sum(2, dtype=np.int64).argmin(0)
    return np.concatenate([best[:, None].astype(np.uint8) + 1, filtered[best, np.arange(len(rows))]], 1)


def _paeth(left, up, corner):
    """Return that of left, above and above left which is nearest to left + above - above left."""
    to_left, to_up = np.abs(up - corner), np.abs(left - corner)
    to_corner = np.abs(left + up - 2 * corner)
    nearest = np.where(to_up <= to_corner, up, corner)
    return np.where((to_left <= to_up) & (to_left <= to_corner), left, nearest)
