"""The data types of a decoded photograph, the known formats, and the conversion to a Pillow image."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image

MAX_PIXELS = 200_000_000

FORMAT_OF_SUFFIX = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF",
    ".webp": "WEBP", ".bmp": "BMP", ".gif": "GIF", ".avif": "AVIF", ".heic": "HEIF", ".heif": "HEIF", ".hif": "HEIF",
    ".mpo": "JPEG",  # several JPEGs in one file, of which the first is the photograph
}  # fmt: skip


@dataclass(frozen=True)
class Samples:
    """The pixels as the file stores them, upright.

    `values` are in [0, 2^depth - 1]. `mode` is the channel layout: L, LA, RGB, RGBA, CMYK (255 = full ink) or P, whose
    values are rows of `palette` (RGBA). `colour_key` is the colour that means transparent, in modes L and RGB.
    """

    values: UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"]
    mode: str
    depth: int
    palette: UInt8[np.ndarray, "colours 4"] | None = None
    colour_key: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Photo:
    """An upright photograph and everything that `encode` needs to write its file again.

    `rgb` and `alpha` have 16 bits if the file has, otherwise 8; alpha 0 is transparent. `format` is Pillow's name,
    `source` the content of the file, `orientation` the EXIF value that was applied.
    """

    rgb: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]
    alpha: UInt8[np.ndarray, "h w"] | UInt16[np.ndarray, "h w"] | None
    format: str
    name: str
    samples: Samples = field(repr=False)
    source: bytes = field(repr=False)
    orientation: int = 1


def pillow_image(samples: Samples) -> Image.Image:
    """Return the samples as a Pillow image; grey with a depth of 1 has Pillow's mode "1"."""
    values, (height, width) = samples.values, samples.values.shape[:2]
    if samples.depth == 1 and samples.mode == "L":
        return Image.frombytes("1", (width, height), np.packbits(values[..., 0], axis=1).tobytes())
    image = Image.frombytes(samples.mode, (width, height), values.tobytes())
    if samples.palette is not None:
        image.putpalette(samples.palette[:, :3].tobytes())
    return image
