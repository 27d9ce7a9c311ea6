"""Decoding of image files to pixels. An image that cannot be decoded raises an InputError that names it."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypedDict

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from mai_jax.errors import InputError

MIN_SIDE = 16  # pixels; smaller images contain too little to train on
MAX_PIXELS = 200_000_000
DEEP_MODES = ("F", "I", "I;16", "I;16B", "I;16L", "I;16N")  # one channel of more than 8 bits
# Only a part of what Pillow opens: for PostScript, for example, it would execute the program in the file.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "TGA")


class Encoded(TypedDict):
    """An image file: a name that is unique within its source, and its bytes."""

    id: str
    bytes: bytes


def decode(encoded: bytes, name: str, draft: int | None = None) -> Image.Image:
    """Return the RGB image in `encoded`, with its EXIF orientation applied, alpha dropped, and 16 bits scaled to 8.

    With `draft` a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, which is faster; its shorter side is at least
    `draft`. Raises InputError, which starts with `name`, if the bytes cannot be decoded or a side is shorter than
    MIN_SIDE.
    """
    image = _load(encoded, name, lambda image: to_eight_bits(image).convert("RGB"), draft)
    if min(image.size) < MIN_SIDE:
        raise InputError(f"{name}: is {image.width} x {image.height} pixels, but at least {MIN_SIDE} per side are "
                         "needed; remove it or replace it")
    return image


def decode_as_stored(encoded: bytes, name: str) -> Image.Image:
    """Return the image in `encoded` in its own mode, with its EXIF orientation applied.

    Images of any size are accepted, those of several frames are not. Otherwise as `decode`.
    """
    return _load(encoded, name, lambda image: image, single_frame=True)


class Frames:
    """The frames of an image file, or its one image, in their own mode."""

    def __init__(self, encoded: bytes, name: str) -> None:
        """Open a file. Raises InputError, which starts with `name`, if it cannot be decoded."""
        self.name = name
        with _reading(name):
            self._file = open_header(encoded)
            self.number: int = getattr(self._file, "n_frames", 1)

    def __getitem__(self, index: int) -> Image.Image:
        """Return a frame as it is shown, after those before it. Raises InputError if it cannot be decoded."""
        with _reading(f"{self.name}, frame {index + 1}"):
            self._file.seek(index)
            return self._file.copy()


def open_header(encoded: bytes) -> ImageFile.ImageFile:
    """Return the image with only its header read.

    `PIL.Image.open` is not used: its limit on the number of pixels is global and warns before it raises. Raises what
    Pillow raises for damaged bytes, and ValueError for more than MAX_PIXELS.
    """
    Image.init()
    signatures = {name: Image.OPEN[name][1] for name in FORMATS if name in Image.OPEN}
    recognised = (name for name, accepts in signatures.items() if accepts and accepts(encoded[:16]) is True)
    name = next(recognised, "TGA")  # the only one without a signature
    try:
        image = Image.OPEN[name][0](io.BytesIO(encoded), "")
    except SyntaxError as error:
        if name != "TGA":
            raise
        raise UnidentifiedImageError from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels; the limit is {MAX_PIXELS}")
    if image.mode == "P" and image.palette is None:
        raise ValueError("its palette is missing")
    return image


def resize_crop(
    image: Image.Image, size: int, shorter_side: int, offset: tuple[float, float]
) -> UInt8[np.ndarray, "size size 3"]:
    """Return a `size` x `size` crop of the image after a bicubic, antialiased resize to `shorter_side`.

    `offset` in [0, 1]^2 is the position of the crop, (y, x): (0, 0) = top left, (0.5, 0.5) = centre. Only the pixels of
    the crop are computed. Raises ValueError if `size` > `shorter_side`.
    """
    if size > shorter_side:
        raise ValueError(f"a crop of {size} does not fit into a shorter side of {shorter_side}")
    scale = min(image.size) / shorter_side
    width, height = (max(shorter_side, round(side / scale)) for side in image.size)  # after the resize
    left, top = round(offset[1] * (width - size)), round(offset[0] * (height - size))
    x, y = image.width / width, image.height / height  # pixels of the image per pixel of the result
    crop = image.resize((size, size), Image.Resampling.BICUBIC,
                        box=(left * x, top * y, (left + size) * x, (top + size) * y))
    return np.asarray(crop)


def to_eight_bits(image: Image.Image) -> Image.Image:
    """Return the image with 16 bits scaled to 8, which Pillow would clip to 255. Raises ValueError for 32 bits."""
    if image.mode not in DEEP_MODES:
        return image
    if image.mode in ("F", "I"):
        raise ValueError("pixels of 32 bits have no defined range, save it with 8 or 16")
    values = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _load(encoded, name, convert, draft=None, *, single_frame=False):
    with _reading(name), open_header(encoded) as file:
        if single_frame and getattr(file, "is_animated", False):
            raise ValueError("it has several frames or pages")
        if draft is not None:
            file.draft(None, (draft, draft))
        image = ImageOps.exif_transpose(file)
        if image.mode == "I" and file.format == "PPM":  # Pillow widens the 16 bits of PPM
            image = Image.fromarray(np.asarray(image).astype(np.uint16))
        return convert(image)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Raise InputError, which starts with `name`, for what the block raises on bytes that are no image."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise InputError(f"{name}: is not an image of a known format; remove it or replace it") from error
    except Exception as error:  # on damaged bytes Pillow raises anything from OSError to SyntaxError and struct.error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{name}: cannot be read as an image ({reason}); remove it or replace it") from error
