"""Reads PNG and TIFF files with 16 bits per channel, which Pillow itself would cut to 8."""

import sys

import numpy as np
from jaxtyping import UInt16
from PIL import Image, ImageFile

# Which byte of each sample Pillow's unpackers take: B reads samples as big-endian and L as little-endian, each to keep
# the high byte. The unpacker of the other order therefore gives the low byte. N is the order of this machine.
HIGH_LOW = {"B": "BL", "L": "LB", "N": "LB" if sys.byteorder == "little" else "BL"}


def read(image: ImageFile.ImageFile, again: ImageFile.ImageFile) -> UInt16[np.ndarray, "h w c"]:
    """The samples, 1 to 4 channels, of a file opened twice and not yet loaded; colour is decoded from both."""
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[..., None]
    rawmode = _rawmode(image.tile[0])
    if rawmode == "LA;16B":
        # Read as four channels of 8 bits, these are the bytes as they are in the file.
        pairs = np.asarray(_read_as(image, "RGBA"))
        return np.ascontiguousarray(pairs).view(">u2").astype(np.uint16)
    high, low = HIGH_LOW[rawmode[-1]]
    values = np.asarray(_read_as(image, rawmode[:-1] + high)).astype(np.uint16) << 8
    values |= np.asarray(_read_as(again, rawmode[:-1] + low))
    return values


def _rawmode(tile):
    return tile.args if isinstance(tile.args, str) else tile.args[0]


def _read_as(image, rawmode) -> Image.Image:
    image.tile = [tile._replace(args=rawmode if isinstance(tile.args, str) else (rawmode, *tile.args[1:]))
                  for tile in image.tile]  # fmt: skip
    image.load()
    return image
