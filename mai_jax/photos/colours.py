"""Between the samples of a file and the RGB of a network. Where nothing is painted, no sample changes."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, UInt8, UInt16
from PIL import Image

from mai_jax.photos.photo import Samples

RGB = UInt8[np.ndarray, "... 3"] | UInt16[np.ndarray, "... 3"]
Alpha = UInt8[np.ndarray, "h w"] | UInt16[np.ndarray, "h w"]
BLOCK = 4096  # colours that are compared with the whole palette at once


def to_rgb(samples: Samples) -> RGB:
    """Samples as RGB of 8 bits, or of 16 if they have them. Alpha is ignored: transparent pixels keep their colour."""
    values = samples.values
    if samples.mode == "P":
        return _whole_palette(samples.palette)[values[..., 0], :3]
    if samples.mode == "CMYK":
        return _converted(values, "CMYK", "RGB")
    if samples.depth < 8:
        values = values * np.uint8(255 // _top(samples))
    colour = values[..., : len(samples.mode.removesuffix("A"))]
    return np.ascontiguousarray(np.broadcast_to(colour, (*colour.shape[:2], 3)))


def to_alpha(samples: Samples) -> Alpha | None:
    """How opaque the samples are, in the range of `to_rgb`; None if the file cannot tell."""
    if samples.mode == "P":
        transparent = (samples.palette[:, 3] < 255).any()
        return _whole_palette(samples.palette)[samples.values[..., 0], 3] if transparent else None
    if samples.key is not None:
        values = np.uint16 if samples.depth == 16 else np.uint8
        return np.where((samples.values == samples.key).all(-1), values(0), np.iinfo(values).max)
    return samples.values[..., -1].copy() if samples.mode.endswith("A") else None


def paint(samples: Samples, rgb: RGB, hole: Bool[np.ndarray, "h w"], *, opaque: bool) -> Samples:
    """The samples with the colours of `rgb` in the hole, as near as the mode allows.

    The transparency of the hole stays, or with `opaque` becomes opaque.
    """
    values, colours = samples.values.copy(), rgb[hole]
    if samples.mode == "P":
        alpha = _whole_palette(samples.palette)[values[hole][:, 0], 3]
        values[hole, 0] = _nearest(colours, np.full_like(alpha, 255) if opaque else alpha, samples.palette)
        return replace(samples, values=values)
    painted = _samples_of(colours, samples)
    if samples.key is not None:
        transparent = (values[hole] == samples.key).all(-1) & (not opaque)
        # One step of the last channel keeps what is painted from being taken for transparent.
        painted[(painted == samples.key).all(-1), -1] ^= 1
        painted[transparent] = samples.key
    values[hole, : painted.shape[-1]] = painted
    if opaque and samples.mode.endswith("A"):
        values[hole, -1] = _top(samples)
    return replace(samples, values=values)


def grey(rgb: RGB) -> UInt8[np.ndarray, "... 1"] | UInt16[np.ndarray, "... 1"]:
    """Luma of ITU-R BT.601, rounded; equal channels stay as they are."""
    weighted = rgb.astype(np.uint64) @ np.array([299, 587, 114], np.uint64)
    return ((weighted + 500) // 1000).astype(rgb.dtype)[..., None]


def _samples_of(colours, samples):
    """The colours [n, 3] in the mode and depth of the samples, without alpha."""
    if samples.mode == "CMYK":
        return _converted(colours[None], "RGB", "CMYK")[0]
    if samples.mode.startswith("RGB"):
        return colours.copy()
    value = grey(colours)
    return value if samples.depth >= 8 else ((value.astype(np.uint16) * _top(samples) + 127) // 255).astype(np.uint8)


def _converted(values, mode, wanted):
    """Pillow's conversion of pixels [h, w, c]; Pillow has no empty images."""
    if values.size == 0:
        return np.zeros((*values.shape[:2], len(wanted)), np.uint8)
    size = values.shape[1], values.shape[0]
    return np.array(Image.frombytes(mode, size, values.tobytes()).convert(wanted))


def _nearest(colours, alpha, palette):
    """For each colour [n, 3] the row of the palette that is nearest to it among the rows of its alpha [n]."""
    packed = colours.astype(np.uint32) @ np.array([1 << 24, 1 << 16, 1 << 8], np.uint32) + alpha
    wanted, place = np.unique(packed, return_inverse=True)
    wanted = np.ascontiguousarray(wanted.astype(">u4")).view(np.uint8).reshape(-1, 4).astype(np.int32)
    palette = palette.astype(np.int32)
    rows = np.empty(len(wanted), np.uint8)
    for start in range(0, len(wanted), BLOCK):
        block = wanted[start : start + BLOCK, None]
        distance = ((block[..., :3] - palette[:, :3]) ** 2).sum(-1)
        other_alpha = np.abs(block[..., 3] - palette[:, 3])
        rows[start : start + BLOCK] = (distance + other_alpha * (1 << 20)).argmin(1)
    return rows[place]


def _whole_palette(palette):
    """The palette with black for the rows that a file may point to without having them."""
    black = np.broadcast_to(np.array([0, 0, 0, 255], np.uint8), (256 - len(palette), 4))
    return np.concatenate([palette, black])


def _top(samples):
    return (1 << samples.depth) - 1
