"""Checks of a single image file, decoded as for training."""

import hashlib
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt64
from PIL import Image

from mai_jax.data import images
from mai_jax.data.sources import Source
from mai_jax.doctor.duplicates import perceptual_hash
from mai_jax.doctor.report import Issue
from mai_jax.errors import InputError

ISSUES = {
    "unusable": Issue("error", "restore or remove them: training or evaluation stops at the first of them"),
    "small": Issue("warning", "below image_size: they are enlarged, so the ground truth is blurred"),
    "blank": Issue("warning", "of a single colour: nothing can be learnt from them; remove them"),
    "grey": Issue("warning", "without colour: many of them make the network predict grey in colour photographs"),
    "CMYK": Issue("warning", "are converted to RGB without their colour profile, so colours are inexact; convert them"),
    "16 bit": Issue("warning", "are reduced to 8 bits"),
    "transparent": Issue("warning", "alpha is dropped, so hidden pixels become visible; flatten or remove them"),
    "EXIF-rotated": Issue("warning", "are rotated upright here and everywhere in mai_jax; programs that ignore EXIF "
                                     "show them rotated"),
}  # fmt: skip
# A JPEG is decoded at down to an eighth of its size with both sides at least this: eight times as fast at 12
# megapixels. All of its bytes are still read, so a truncated file fails at any scale.
DRAFT = 64
ORIENTATION = 0x0112  # EXIF tag


class ImageReport(NamedTuple):
    """`found` maps issues to the file's text as an example; the other fields are None for an unusable file."""

    found: dict[str, str]
    side: int | None = None  # shorter side, in pixels
    content: np.uint64 | None = None  # hash of the bytes
    hash: UInt64[np.ndarray, "4"] | None = None  # perceptual hash; None for a blank image


def inspect_image(source: Source, i: int, image_size: int) -> ImageReport:
    """Return the report on image `i`, decoded by the same code as for training."""
    try:
        encoded = source[i]
        rgb = images.decode(encoded["bytes"], encoded["id"], draft=DRAFT)
    except InputError as error:
        return ImageReport({"unusable": str(error).rpartition(";")[0]})
    name, hashed = encoded["id"], perceptual_hash(rgb)
    with images.open_header(encoded["bytes"]) as header:
        side = min(header.size)
        present = {
            "small": side < image_size,
            "blank": hashed is None,
            "grey": _is_grey(rgb),
            "CMYK": header.mode == "CMYK",
            # Pillow does not report 16 bits for colour in PPM and JPEG 2000.
            "16 bit": header.mode.startswith("I") or any(";16" in str(tile.args) for tile in header.tile),
            "EXIF-rotated": header.getexif().get(ORIENTATION) in range(2, 9),
            "transparent": header.has_transparency_data and _has_transparent_pixel(header),
        }
    examples = {"small": f"{name} ({header.width} x {header.height})"}
    digest = hashlib.blake2b(encoded["bytes"], digest_size=8).digest()
    return ImageReport({issue: examples.get(issue, name) for issue, is_present in present.items() if is_present},
                       side, np.frombuffer(digest, np.uint64)[0], hashed)  # fmt: skip


def _has_transparent_pixel(image: Image.Image) -> bool:
    return bool(np.asarray(image.convert("RGBA").getchannel("A")).min() < 255)


def _is_grey(rgb: Image.Image) -> bool:
    red, green, blue = np.moveaxis(np.asarray(rgb), -1, 0)
    return bool((red == green).all() and (green == blue).all())
