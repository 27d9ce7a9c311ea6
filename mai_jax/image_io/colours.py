"""Conversion between the samples of a file and RGB. Samples outside the hole never change."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, UInt8, UInt16
from PIL import Image

from mai_jax.image_io.photo import Samples

RGB = UInt8[np.ndarray, "... 3"] | UInt16[np.ndarray, "... 3"]
Alpha = UInt8[np.ndarray, "h w"] | UInt16[np.ndarray, "h w"]
BLOCK = 4096  # colours per block that is compared with the whole palette


def to_rgb(samples: Samples) -> RGB:
    """Return the samples as RGB of 8 bits, or of 16 if they have 16. Transparent pixels keep their colour."""
    values = samples.values
    if samples.mode == "P":
        return _pad_palette(samples.palette)[values[..., 0], :3]
    if samples.mode == "CMYK":
        return _convert(values, "CMYK", "RGB")
    if samples.depth < 8:
        values = values * np.uint8(255 // _max_value(samples))
    colour = values[..., : len(samples.mode.removesuffix("A"))]
    return np.ascontiguousarray(np.broadcast_to(colour, (*colour.shape[:2], 3)))


def to_alpha(samples: Samples) -> Alpha | None:
    """Return the opacity of the samples in the range of `to_rgb`; None if the file has no transparency."""
    if samples.mode == "P":
        assert samples.palette is not None  # the mode is "P"
        transparent = (samples.palette[:, 3] < 255).any()
        return _pad_palette(samples.palette)[samples.values[..., 0], 3] if transparent else None
    if samples.colour_key is not None:
        dtype = np.uint16 if samples.depth == 16 else np.uint8
        return np.where((samples.values == samples.colour_key).all(-1), dtype(0), np.iinfo(dtype).max)
    return samples.values[..., -1].copy() if samples.mode.endswith("A") else None


def replace_hole(samples: Samples, rgb: RGB, hole: Bool[np.ndarray, "h w"], *, opaque: bool) -> Samples:
    """Return the samples with the colours of `rgb` in the hole, as close as the mode allows.

    The hole keeps its transparency, or becomes opaque if `opaque`.
    """
    values, colours = samples.values.copy(), rgb[hole]
    if samples.mode == "P":
        assert samples.palette is not None
        alpha = _pad_palette(samples.palette)[values[hole][:, 0], 3]
        values[hole, 0] = nearest_rows(colours, np.full_like(alpha, 255) if opaque else alpha, samples.palette)
        return replace(samples, values=values)
    replacement = _from_rgb(colours, samples)
    if samples.colour_key is not None:
        transparent = (values[hole] == samples.colour_key).all(-1) & (not opaque)
        # A colour equal to the key changes by one step in the last channel, otherwise it would be transparent.
        replacement[(replacement == samples.colour_key).all(-1), -1] ^= 1
        replacement[transparent] = samples.colour_key
    values[hole, : replacement.shape[-1]] = replacement
    if opaque and samples.mode.endswith("A"):
        values[hole, -1] = _max_value(samples)
    return replace(samples, values=values)


def from_rgb(like: Samples, rgb: RGB, alpha: Alpha, *, can_have_alpha: bool) -> Samples:
    """Return pixels of any size with the mode, depth and palette of `like`, as close as these allow.

    With `can_have_alpha` the mode gets alpha if some pixel is not opaque.
    """
    mode = like.mode
    if can_have_alpha and mode == "RGB" and (alpha < np.iinfo(alpha.dtype).max).any():
        mode = "RGBA"
    everything = np.ones(alpha.shape, bool)
    if mode == "P":
        assert like.palette is not None  # the mode is "P"
        indices = nearest_rows(rgb[everything], alpha[everything], like.palette)
        return replace(like, values=indices.reshape(*alpha.shape, 1))
    channels = len(mode)
    empty = replace(like, mode=mode, values=np.zeros((*alpha.shape, channels), like.values.dtype))
    samples = replace_hole(empty, rgb, everything, opaque=True)
    if mode.endswith("A"):
        samples.values[..., -1] = alpha
    elif like.colour_key is not None:
        samples.values[alpha == 0] = like.colour_key
    return samples


def luma(rgb: RGB) -> UInt8[np.ndarray, "... 1"] | UInt16[np.ndarray, "... 1"]:
    """Return the luma of ITU-R BT.601, rounded; equal channels keep their value."""
    weighted = rgb.astype(np.uint64) @ np.array([299, 587, 114], np.uint64)
    return ((weighted + 500) // 1000).astype(rgb.dtype)[..., None]


def _from_rgb(colours, samples):
    """Return the colours [n, 3] in the mode and depth of the samples, without alpha."""
    if samples.mode == "CMYK":
        return _convert(colours[None], "RGB", "CMYK")[0]
    if samples.mode.startswith("RGB"):
        return colours.copy()
    grey = luma(colours)
    if samples.depth >= 8:
        return grey
    return ((grey.astype(np.uint16) * _max_value(samples) + 127) // 255).astype(np.uint8)


def _convert(values, mode, target):
    """Return pixels [h, w, c] converted by Pillow; Pillow has no empty images."""
    if values.size == 0:
        return np.zeros((*values.shape[:2], len(target)), np.uint8)
    size = values.shape[1], values.shape[0]
    return np.array(Image.frombytes(mode, size, values.tobytes()).convert(target))


def nearest_rows(
    colours: UInt8[np.ndarray, "n 3"], alpha: UInt8[np.ndarray, "n"], palette: UInt8[np.ndarray, "colours 4"]
) -> UInt8[np.ndarray, "n"]:
    """Return for each colour [n, 3] the nearest row of the palette among the rows with its alpha [n]."""
    packed = colours.astype(np.uint32) @ np.array([1 << 24, 1 << 16, 1 << 8], np.uint32) + alpha
    unique, inverse = np.unique(packed, return_inverse=True)
    unique = np.ascontiguousarray(unique.astype(">u4")).view(np.uint8).reshape(-1, 4).astype(np.int32)
    palette = palette.astype(np.int32)
    rows = np.empty(len(unique), np.uint8)
    for start in range(0, len(unique), BLOCK):
        block = unique[start : start + BLOCK, None]
        distance = ((block[..., :3] - palette[:, :3]) ** 2).sum(-1)
        other_alpha = np.abs(block[..., 3] - palette[:, 3])
        rows[start : start + BLOCK] = (distance + other_alpha * (1 << 20)).argmin(1)
    return rows[inverse]


def _pad_palette(palette):
    """Return the palette with 256 rows; rows that the file uses but does not define are black."""
    black = np.broadcast_to(np.array([0, 0, 0, 255], np.uint8), (256 - len(palette), 4))
    return np.concatenate([palette, black])


def _max_value(samples):
    return (1 << samples.depth) - 1
