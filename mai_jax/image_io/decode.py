"""Decoding of image files, 16-bit samples included. A file that cannot be used raises an InputError that names it."""

import sys

import numpy as np
from jaxtyping import UInt16
from PIL import Image, ImageFile

from mai_jax.errors import InputError
from mai_jax.image_io import colours, png
from mai_jax.image_io.embedded_metadata import ORIENTATION, apply_orientation
from mai_jax.image_io.header import advice, avif_bits, ignore_pillow_warnings, open_header
from mai_jax.image_io.photo import MAX_PIXELS, Photo, Samples

MODES = {"1": "L", "I;16": "L", "I;16B": "L", **{mode: mode for mode in ("L", "LA", "RGB", "RGBA", "CMYK", "P")}}
BITS, PHOTOMETRIC, CHANNELS, PLANES, EXTRA_SAMPLES, SAMPLE_KIND = 258, 262, 277, 284, 338, 339  # tags of TIFF

# (high, low): the byte order with which Pillow's 8-bit unpackers return the high and the low byte of 16-bit samples. An
# unpacker keeps the byte that is high in its own order, so that of the other order returns the low byte. N is the order
# of this machine.
HIGH_LOW = {"B": ("B", "L"), "L": ("L", "B"), "N": ("L", "B") if sys.byteorder == "little" else ("B", "L")}


def decode(encoded: bytes, name: str) -> Photo:
    """Return the photograph in `encoded`, upright.

    Raises InputError, which calls the file `name`, if it is damaged, not an image, or of an unsupported kind.
    """
    if not encoded:
        raise InputError(f"{name}: is empty; replace it")
    try:
        with ignore_pillow_warnings():
            return _decode(encoded, name)
    except InputError:
        raise
    except Exception as reason:  # on damaged bytes Pillow raises anything from OSError to SyntaxError and struct.error
        why = " ".join(str(reason).split()) or type(reason).__name__
        raise InputError(f"{name}: cannot be read as an image ({why}); replace it") from reason


def _decode(encoded, name):
    header = open_header(encoded)
    if header is None:
        raise InputError(f"{name}: {advice(encoded)}")
    assert header.format is not None  # a class attribute for each of FORMATS
    problem = _problem(header, encoded)
    if problem:
        raise InputError(f"{name}: {problem}")
    stored, orientation = _read_samples(header, encoded)
    upright = apply_orientation(stored.values, orientation)
    samples = Samples(upright, stored.mode, stored.depth, stored.palette, stored.colour_key)
    return Photo(colours.to_rgb(samples), colours.to_alpha(samples), header.format, name, samples, encoded, orientation)


def _problem(header, encoded):
    """Return why the file is not supported and what to do, judged by its header; "" if it is supported."""
    width, height = header.size
    if width * height > MAX_PIXELS:
        return f"has {width} x {height} pixels, and the limit is {MAX_PIXELS}; make it smaller"
    if getattr(header, "is_animated", False):
        return "has several frames or pages; save one of them as a separate file"
    if header.mode not in MODES:
        return f"has pixels of the kind {header.mode}, which is not supported; save it as RGB or grey with 8 or 16 bits"
    bits = avif_bits(encoded) if header.format == "AVIF" else header.info.get("bit_depth", 8)  # the latter of a HEIC
    if bits > 8:
        return f"has {bits} bits per channel, of which 8 would remain; save it as a PNG with 16 bits"
    return _tiff_problem(header.tag_v2, len(header.getbands())) if header.format == "TIFF" else ""


def _tiff_problem(tags, bands):
    bits = set(tags.get(BITS, (1,)))
    if not bits <= {1, 2, 4, 8, 16}:
        return f"has {max(bits)} bits per channel; save it with 8 or 16"
    if max(tags.get(SAMPLE_KIND, (1,))) > 1:
        return "has signed or floating point pixels; save it with 8 or 16 bits, unsigned"
    if 1 in tags.get(EXTRA_SAMPLES, ()):
        return "has premultiplied alpha, which loses colours; save it with straight alpha"
    if tags.get(CHANNELS, bands) != bands:
        return f"has {tags[CHANNELS]} channels, of which {bands} are supported; save it without the others"
    if 16 in bits and tags.get(PHOTOMETRIC) == 5:
        return "is CMYK with 16 bits; save it as CMYK with 8 or as RGB with 16"
    if 16 in bits and tags.get(PLANES) == 2:
        return "has 16 bits in separate planes; save it with interleaved channels"
    return ""


def _read_samples(header, encoded):
    """Return the samples as stored and the EXIF orientation that is still to be applied."""
    mode, depth = _layout(header, encoded)
    if depth == 16:
        second = open_header(encoded)
        assert second is not None  # `header` is the same file
        values = _read_sixteen_bit(header, second)
        if header.format == "TIFF" and header.tag_v2.get(PHOTOMETRIC) == 0:
            values = 65535 - values  # 0 is white
    else:
        values = np.asarray(header)
        values = (values[..., None] if values.ndim == 2 else values).astype(np.uint8)
    if depth in (2, 4) and mode == "L":
        values //= 255 // ((1 << depth) - 1)  # undoes Pillow's widening to 8 bits
    # Pillow applies the orientation of a TIFF while it reads the pixels, and then removes the tag.
    orientation = header.getexif().get(ORIENTATION, 1)
    transparency = _transparency(header, encoded)
    if mode == "P":
        return Samples(values, mode, depth, _palette(header, transparency)), orientation
    return Samples(values, mode, depth, colour_key=transparency if mode in ("L", "RGB") else None), orientation


def _layout(header, encoded):
    """Return mode and bits per channel of the stored samples."""
    mode = MODES[header.mode]
    if header.format == "PNG":
        depth, colour_type = encoded[24], encoded[25]
        return ("LA" if colour_type == png.COLOUR_TYPE["LA"] else mode), depth
    if header.format == "TIFF" and 16 in header.tag_v2.get(BITS, (1,)):
        return mode, 16
    return mode, 1 if header.mode == "1" else 8


def _transparency(header, encoded):
    """Return the colour that means transparent, for a palette the alpha of its first rows; None without either."""
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
    rgb = np.array(header.getpalette("RGB"), np.uint8).reshape(-1, 3)
    alphas = np.frombuffer(alphas or b"", np.uint8)
    if len(rgb) == 0:
        raise ValueError("its palette is empty")
    palette = np.zeros((max(len(rgb), len(alphas)), 4), np.uint8)
    palette[: len(rgb), :3] = rgb
    palette[:, 3] = 255
    palette[: len(alphas), 3] = alphas
    return palette


def _read_sixteen_bit(image: ImageFile.ImageFile, second: ImageFile.ImageFile) -> UInt16[np.ndarray, "h w c"]:
    """Return the 1 to 4 channels of a 16-bit file.

    `image` and `second` are the same file, opened twice and not yet loaded: Pillow decodes 16-bit colour to 8 bits, so
    the high bytes are read from one and the low bytes from the other.
    """
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[..., None]
    rawmode = _rawmode(image.tile[0])
    if rawmode == "LA;16B":
        # Read as four channels of 8 bits, these are the bytes as they are in the file.
        pairs = np.asarray(_load_as(image, "RGBA"))
        return np.ascontiguousarray(pairs).view(">u2").astype(np.uint16)
    high, low = HIGH_LOW[rawmode[-1]]
    values = np.asarray(_load_as(image, rawmode[:-1] + high)).astype(np.uint16) << 8
    values |= np.asarray(_load_as(second, rawmode[:-1] + low))
    return values


def _rawmode(tile):
    return tile.args if isinstance(tile.args, str) else tile.args[0]


def _load_as(image, rawmode) -> Image.Image:
    image.tile = [tile._replace(args=rawmode if isinstance(tile.args, str) else (rawmode, *tile.args[1:]))
                  for tile in image.tile]  # fmt: skip
    image.load()
    return image
