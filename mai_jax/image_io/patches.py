"""Frames that show more of the canvas than the stored ones: for pixels that a frame of the original does not change."""

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from mai_jax.errors import InputError
from mai_jax.image_io import colours
from mai_jax.image_io.canvas import Box, Canvas, box_of
from mai_jax.image_io.encode import encode, save
from mai_jax.image_io.frame import Frame
from mai_jax.image_io.photo import Photo, Samples

COLOURS = 256  # of a palette
TOO_MANY = ("{}: with pixels of earlier frames it would have more than 256 colours; give one mask for all frames, or "
            "save the frames as separate files")


def patch(
    frame: Frame, photo: Photo, canvas: Canvas, needed: Bool[np.ndarray, "h w"], hole: Bool[np.ndarray, "h w"],
    **settings: Any,
) -> tuple[Frame, Box]:  # fmt: skip
    """Return a frame that shows the canvas at least at the `needed` pixels, and the part of the canvas it covers.

    `photo` is the decoded frame that it replaces. Pixels of the canvas outside `hole` are exact as far as the format
    is; `settings` are those of `encode`. Raises InputError if the format cannot store them.
    """
    stored_box = box_of(frame, photo)
    rows, columns = (np.flatnonzero(needed.any(axis)) for axis in (1, 0))
    top, left = (int(min(part.start, i[0])) & ~1 for part, i in zip(stored_box, (rows, columns), strict=True))
    bottom, right = (int(max(part.stop, i[-1] + 1)) for part, i in zip(stored_box, (rows, columns), strict=True))
    box = slice(top, bottom), slice(left, right)  # even places, which a WebP needs
    rgb, alpha = canvas.rgb[box], canvas.alpha[box]
    if photo.format == "GIF":
        write = _grey_gif if photo.samples.mode == "L" else _gif
        source = write(photo.name, rgb, needed[box], hole[box])
        return replace(frame, source=source, top=top, left=left), box
    samples = colours.from_rgb(photo.samples, rgb, alpha, can_have_alpha=photo.format == "WEBP")
    opacity = colours.to_alpha(samples)
    stored = np.full_like(alpha, np.iinfo(alpha.dtype).max) if opacity is None else opacity
    exact = ~hole[box] & (alpha > 0)
    if (stored != alpha).any() or (colours.to_rgb(samples)[exact] != rgb[exact]).any():
        raise InputError(f"{photo.name}: pixels of earlier frames cannot be stored in its colours; give one mask for "
                         "all frames, or save the frames as separate files")
    larger = replace(photo, rgb=rgb, alpha=alpha, samples=samples)
    source = encode(larger, rgb, np.zeros(rgb.shape[:2], bool), **settings)
    return replace(frame, source=source, top=top, left=left, replaces=True), box


def _gif(
    name: str, rgb: UInt8[np.ndarray, "h w 3"], needed: Bool[np.ndarray, "h w"], hole: Bool[np.ndarray, "h w"]
) -> bytes:  # fmt: skip
    """Return a GIF that is transparent where nothing is needed. Many colours in the hole become approximate."""
    given, filled = needed & ~hole, needed & hole
    exact = np.unique(rgb[given].reshape(-1, 3), axis=0)
    free = COLOURS - 1 - len(exact)
    if free < bool(filled.any()):
        raise InputError(TOO_MANY.format(name))
    parts = [np.zeros((1, 3), np.uint8), exact]  # the first is transparent
    if filled.any():
        strip = Image.fromarray(rgb[filled][None])
        parts.append(np.array(strip.quantize(free).getpalette("RGB"), np.uint8).reshape(-1, 3)[:free])
    rows = np.concatenate(parts)
    palette = np.concatenate([rows, np.full((len(rows), 1), 255, np.uint8)], 1)
    palette[0, 3] = 0
    indices = np.zeros(needed.shape, np.uint8)
    indices[needed] = colours.nearest_rows(rgb[needed], np.full(int(needed.sum()), 255, np.uint8), palette)
    return save(Samples(indices[..., None], "P", 8, palette), "GIF", optimize=False, transparency=0, interlace=0)


def _grey_gif(
    name: str, rgb: UInt8[np.ndarray, "h w 3"], needed: Bool[np.ndarray, "h w"], hole: Bool[np.ndarray, "h w"]
) -> bytes:  # fmt: skip
    """Return the same with a palette of all greys, because Pillow cannot read grey frames and then one of colours."""
    if np.ptp(rgb[needed & ~hole], axis=-1).any():
        return _gif(name, rgb, needed, hole)
    greys = colours.luma(rgb)[..., 0]
    unused = np.setdiff1d(np.arange(COLOURS), greys[needed])
    if not len(unused):
        raise InputError(TOO_MANY.format(name))
    indices = np.where(needed, greys, unused[0]).astype(np.uint8)
    return save(Samples(indices[..., None], "L", 8), "GIF", optimize=False, transparency=int(unused[0]), interlace=0)
