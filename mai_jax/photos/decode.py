"""From the bytes of an image file to a photograph. Whatever cannot be used is an InputError that names it."""

import numpy as np

from mai_jax.photos import colours, png, sixteen_bit
from mai_jax.photos.coding import avif_bits
from mai_jax.photos.header import FORMATS, open_header, quiet
from mai_jax.photos.photo import MAX_PIXELS, Photo, Samples
from mai_jax.photos.upright import ORIENTATION, turned
from mai_jax.types import InputError

MODES = {"1": "L", "I;16": "L", "I;16B": "L", **{mode: mode for mode in ("L", "LA", "RGB", "RGBA", "CMYK", "P")}}
BITS, PHOTOMETRIC, CHANNELS, PLANES, EXTRA_SAMPLES, SAMPLE_KIND = 258, 262, 277, 284, 338, 339  # tags of TIFF


def decode(encoded: bytes, name: str) -> Photo:
    """The photograph in `encoded`, upright. `name` is what errors call it. Raises InputError."""
    if not encoded:
        raise InputError(f"{name}: is empty; replace it")
    try:
        with quiet():
            return _photo(encoded, name)
    except InputError:
        raise
    except Exception as reason:  # on damaged bytes Pillow raises anything from OSError to SyntaxError and struct.error
        why = " ".join(str(reason).split()) or type(reason).__name__
        raise InputError(f"{name}: cannot be read as an image ({why}); replace it") from reason


def _photo(encoded, name):
    header = open_header(encoded)
    if header is None:
        raise InputError(f"{name}: is not an image of a known format; save it as one of {', '.join(FORMATS)}")
    refusal = _refusal(header, encoded)
    if refusal:
        raise InputError(f"{name}: {refusal}")
    samples, orientation = _samples(header, encoded)
    samples = Samples(turned(samples.values, orientation), samples.mode, samples.depth, samples.palette, samples.key)
    return Photo(colours.to_rgb(samples), colours.to_alpha(samples), header.format, name, samples, encoded, orientation)


def _refusal(header, encoded):
    """Why the file cannot be used and the mend, from its header alone; empty if it can."""
    width, height = header.size
    if width * height > MAX_PIXELS:
        return f"has {width} x {height} pixels, and the limit is {MAX_PIXELS}; make it smaller"
    if getattr(header, "is_animated", False):
        return "has several frames or pages; save one of them as a file of its own"
    if header.mode not in MODES:
        return f"has pixels of the kind {header.mode}, which cannot be used; save it as RGB or grey with 8 or 16 bits"
    if header.format == "AVIF" and avif_bits(encoded) > 8:
        return f"has {avif_bits(encoded)} bits per channel, of which 8 would be left; save it as a PNG with 16 bits"
    return _tiff_refusal(header.tag_v2, len(header.getbands())) if header.format == "TIFF" else ""


def _tiff_refusal(tags, bands):
    bits = set(tags.get(BITS, (1,)))
    if not bits <= {1, 2, 4, 8, 16}:
        return f"has {max(bits)} bits per channel; save it with 8 or 16"
    if max(tags.get(SAMPLE_KIND, (1,))) > 1:
        return "has signed or floating point pixels; save it with 8 or 16 bits, unsigned"
    if 1 in tags.get(EXTRA_SAMPLES, ()):
        return "has premultiplied alpha, which loses colours; save it with straight alpha"
    if tags.get(CHANNELS, bands) != bands:
        return f"has {tags[CHANNELS]} channels, of which {bands} are understood; save it without the others"
    if 16 in bits and tags.get(PHOTOMETRIC) == 5:
        return "is CMYK with 16 bits; save it as CMYK with 8 or as RGB with 16"
    if 16 in bits and tags.get(PLANES) == 2:
        return "has 16 bits in separate planes; save it with interleaved channels"
    return ""


def _samples(header, encoded):
    """The pixels as stored, and the EXIF orientation by which they have to be turned."""
    mode, depth = _layout(header, encoded)
    if depth == 16:
        values = sixteen_bit.read(header, open_header(encoded))
        if header.format == "TIFF" and header.tag_v2.get(PHOTOMETRIC) == 0:
            values = 65535 - values  # 0 is white
    else:
        values = np.asarray(header)
        values = (values[..., None] if values.ndim == 2 else values).astype(np.uint8)
    if depth in (2, 4) and mode == "L":
        values //= 255 // ((1 << depth) - 1)  # undoes Pillow's widening to 8 bits
    # A TIFF is turned by Pillow, which then forgets its orientation.
    orientation = header.getexif().get(ORIENTATION, 1)
    transparency = _transparency(header, encoded)
    if mode == "P":
        return Samples(values, mode, depth, _palette(header, transparency)), orientation
    return Samples(values, mode, depth, key=transparency if mode in ("L", "RGB") else None), orientation


def _layout(header, encoded):
    """Mode and bits per channel of the stored samples."""
    mode = MODES[header.mode]
    if header.format == "PNG":
        depth, colour_type = encoded[24], encoded[25]
        return ("LA" if colour_type == png.COLOUR_TYPE["LA"] else mode), depth
    if header.format == "TIFF" and 16 in header.tag_v2.get(BITS, (1,)):
        return mode, 16
    return mode, 1 if header.mode == "1" else 8


def _transparency(header, encoded):
    """The colour that stands for transparent; of a palette the alpha of its first rows; None if nothing does."""
    if header.format == "PNG":
        data = dict(png.chunks(encoded)).get(b"tRNS")
        if data is None or header.mode == "P":
            return data
        return tuple(np.frombuffer(data, ">u2").tolist())
    index = header.info.get("transparency")
    if header.format != "GIF" or index is None:
        return None
    return bytes([255] * index + [0]) if header.mode == "P" else (index,)


def _palette(header, alphas):
    colours = np.array(header.getpalette("RGB"), np.uint8).reshape(-1, 3)
    alphas = np.frombuffer(alphas or b"", np.uint8)
    if len(colours) == 0:
        raise ValueError("its palette is empty")
    palette = np.zeros((max(len(colours), len(alphas)), 4), np.uint8)
    palette[: len(colours), :3] = colours
    palette[:, 3] = 255
    palette[: len(alphas), 3] = alphas
    return palette
