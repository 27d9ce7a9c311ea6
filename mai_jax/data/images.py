"""From the bytes of an image file to pixels. Whatever cannot be read is an InputError that names it."""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from mai_jax.types import InputError

SMALLEST = 16  # pixels on a side, below which nothing can be learnt from an image
MAX_PIXELS = 200_000_000
# Not all that Pillow knows: PostScript, say, is a program that it would have executed.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "TGA")


def decode(encoded: bytes, name: str, draft: int | None = None) -> Image.Image:
    """The RGB image in `encoded`, upright by its EXIF orientation; alpha is dropped, 16 bits are scaled to 8.

    With `draft` a JPEG may come at 1/2, 1/4 or 1/8 of its size, which is faster, but with its shorter side at least
    `draft`. Raises InputError with `name` if the bytes are no readable image or it is smaller than 16 pixels on a side.
    """
    image = _load(encoded, name, lambda image: image.convert("RGB"), draft)
    if min(image.size) < SMALLEST:
        raise InputError(f"{name}: is {image.width} x {image.height} pixels, and at least {SMALLEST} on a side are "
                         "needed; remove it or replace it")
    return image


def decode_grey(encoded: bytes, name: str) -> UInt8[np.ndarray, "h w"]:
    """The luminance of the image in `encoded`, of any size, what is transparent being black. Otherwise as `decode`."""

    def grey(image):
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
        return image.convert("L")

    return np.asarray(_load(encoded, name, grey))


def opened(encoded: bytes) -> ImageFile.ImageFile:
    """The image of which nothing but the header is read. Raises whatever Pillow does on damaged bytes.

    Pillow's own `open` is not used: its limit of pixels is global, and warns before it refuses.
    """
    Image.init()
    signatures = {name: Image.OPEN[name][1] for name in FORMATS if name in Image.OPEN}
    recognised = (name for name, accepts in signatures.items() if accepts and accepts(encoded[:16]) is True)
    name = next(recognised, "TGA")  # which has no signature
    try:
        image = Image.OPEN[name][0](io.BytesIO(encoded), "")
    except SyntaxError as reason:
        if name != "TGA":
            raise
        raise UnidentifiedImageError from reason
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels, and the limit is {MAX_PIXELS}")
    if image.mode == "P" and image.palette is None:
        raise ValueError("its palette is missing")
    return image


def resize_crop(
    image: Image.Image, size: int, shorter_side: int, offset: tuple[float, float]
) -> UInt8[np.ndarray, "size size 3"]:
    """A square window of the image after a bicubic, antialiased resize that gives it `shorter_side`.

    `offset` in [0, 1]^2 is the window's place, (down, right): (0, 0) = top left, (0.5, 0.5) = centre. Only the pixels
    of the window are computed.
    """
    if size > shorter_side:
        raise ValueError(f"a window of {size} does not fit into a shorter side of {shorter_side}")
    shrink = min(image.size) / shorter_side
    wide, high = (max(shorter_side, round(side / shrink)) for side in image.size)
    left, top = round(offset[1] * (wide - size)), round(offset[0] * (high - size))
    x, y = image.width / wide, image.height / high  # pixels of the image per pixel of the result
    window = image.resize((size, size), Image.Resampling.BICUBIC,
                          box=(left * x, top * y, (left + size) * x, (top + size) * y))
    return np.asarray(window)


def _load(encoded, name, convert, draft=None):
    try:
        with opened(encoded) as image:
            if draft is not None:
                image.draft(None, (draft, draft))
            pixels = convert(_eight_bits(ImageOps.exif_transpose(image), image.format))
    except UnidentifiedImageError as reason:
        raise InputError(f"{name}: is not an image of a known format; remove it or replace it") from reason
    except Exception as reason:  # on damaged bytes Pillow raises anything from OSError to SyntaxError and struct.error
        why = " ".join(str(reason).split()) or type(reason).__name__
        raise InputError(f"{name}: cannot be read as an image ({why}); remove it or replace it") from reason
    return pixels


def _eight_bits(image, file_format):
    """Pillow would clip deeper pixels to 255, so 16 bits are scaled here and anything else is refused."""
    if image.mode not in ("F", "I", "I;16", "I;16B", "I;16L", "I;16N"):
        return image
    if image.mode == "F" or (image.mode == "I" and file_format != "PPM"):  # PPM: 16 bits, which Pillow widens
        raise ValueError("pixels of 32 bits have no agreed range, save it with 8 or 16")
    values = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))
