"""What training makes of one image file, and what may surprise in it."""

import hashlib
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt64
from PIL import Image

from mai_jax.data import images
from mai_jax.data.doctor.duplicates import perceptual_hash
from mai_jax.data.doctor.report import Ailment
from mai_jax.data.sources import Source
from mai_jax.types import InputError

AILMENTS = {
    "unusable": Ailment("error", "restore or remove them: training, or its evaluation, stops at the first it meets"),
    "small": Ailment("warning", "below image_size: they are enlarged, and blur is taught, or measured, as the truth"),
    "blank": Ailment("warning", "of a single colour: nothing can be learnt from them; remove them"),
    "grey": Ailment("warning", "without colour: a network that sees many paints grey into colour photographs"),
    "CMYK": Ailment("warning", "become RGB without their colour profile, so with rough colours; convert them with it"),
    "16 bit": Ailment("warning", "are reduced to 8 bits"),
    "transparent": Ailment("warning", "alpha is dropped and what hides beneath it is seen; flatten or remove them"),
    "EXIF-rotated": Ailment("warning", "are turned upright here and everywhere in mai_jax; programs that do not read "
                                       "EXIF see them lying"),
}  # fmt: skip
# A JPEG comes at up to an eighth of its size with both sides at least this: eight times as fast at 12 megapixels. All
# of its bytes are still read, so what is cut short fails at any scale.
DRAFT = 64
ORIENTATION = 0x0112


class Look(NamedTuple):
    """`found` maps ailments to how the file is shown as their example; the rest is None for an unusable file."""

    found: dict[str, str]
    side: int | None = None  # the shorter one, in pixels
    content: np.uint64 | None = None  # hash of the bytes
    hash: UInt64[np.ndarray, "4"] | None = None  # of what is seen; None for a blank image


def look(source: Source, i: int, image_size: int) -> Look:
    """The i-th image, decoded by what decodes it for training."""
    try:
        encoded = source[i]
        rgb = images.decode(encoded["bytes"], encoded["id"], draft=DRAFT)
    except InputError as error:
        return Look({"unusable": str(error).rpartition(";")[0]})
    name, seen = encoded["id"], perceptual_hash(rgb)
    with images.opened(encoded["bytes"]) as header:
        side = min(header.size)
        here = {
            "small": side < image_size,
            "blank": seen is None,
            "grey": _is_grey(rgb),
            "CMYK": header.mode == "CMYK",
            # Pillow does not tell it of colour in PPM and JPEG 2000.
            "16 bit": header.mode.startswith("I") or any(";16" in str(tile.args) for tile in header.tile),
            "EXIF-rotated": header.getexif().get(ORIENTATION) in range(2, 9),
            "transparent": header.has_transparency_data and header.convert("RGBA").getextrema()[3][0] < 255,
        }
    shown = {"small": f"{name} ({header.width} x {header.height})"}
    digest = hashlib.blake2b(encoded["bytes"], digest_size=8).digest()
    return Look({ailment: shown.get(ailment, name) for ailment, has in here.items() if has},
                side, np.frombuffer(digest, np.uint64)[0], seen)  # fmt: skip


def _is_grey(rgb: Image.Image) -> bool:
    red, green, blue = np.moveaxis(np.asarray(rgb), -1, 0)
    return bool((red == green).all() and (green == blue).all())
