"""What a photograph is, between its two files."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import UInt8, UInt16

MAX_PIXELS = 200_000_000

FORMAT_OF_SUFFIX = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF",
    ".webp": "WEBP", ".bmp": "BMP", ".gif": "GIF", ".avif": "AVIF",
}  # fmt: skip


@dataclass(frozen=True)
class Samples:
    """The pixels as the file stores them, upright.

    `values` are in [0, 2^depth - 1]. `mode` names the channels: L, LA, RGB, RGBA, CMYK (255 = full ink) or P, whose
    values are rows of `palette` (RGBA). `key` is the colour that stands for transparent, of L and RGB without alpha.
    """

    values: UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"]
    mode: str
    depth: int
    palette: UInt8[np.ndarray, "colours 4"] | None = None
    key: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Photo:
    """An upright photograph and all that is needed to write its file again.

    `rgb` and `alpha` have 16 bits if the file has them, else 8; alpha 0 is transparent. `format` is Pillow's name.
    """

    rgb: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]
    alpha: UInt8[np.ndarray, "h w"] | UInt16[np.ndarray, "h w"] | None
    format: str
    name: str
    samples: Samples = field(repr=False)
    source: bytes = field(repr=False)
    orientation: int = 1
