"""Mask files read as weights: how much of each pixel is filled, for masks with soft edges."""

from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from mai_jax.data import images
from mai_jax.data.mask_reader import GREY_CHROMA, MAX_BLACK, MIN_WHITE
from mai_jax.errors import InputError


class SoftMask(NamedTuple):
    """Weights from 0 (the pixel stays) to 255 (it is filled), and how they were read."""

    weight: UInt8[np.ndarray, "h w"]
    reading: str


def interpret(image: Image.Image, name: str, mask_means: str, *, is_jpeg: bool = False) -> SoftMask:
    """Return the grey values of a mask, or the opacity of a layer with strokes of one colour.

    `mask_means` is that of `mask_reader.read`. In a JPEG what is nearly black or white counts as black or white. Raises
    InputError, which starts with `name`, for a mask that has colours, or nothing brighter than black, such as values 0
    and 1.
    """
    try:
        grey = images.to_eight_bits(image)
    except ValueError as reason:  # 32 bits of unknown range
        raise InputError(f"{name}: cannot be read as a mask ({reason})") from reason
    rgba = np.asarray(grey.convert("RGBA"))
    alpha = rgba[..., 3]
    colours = rgba[..., :3][alpha > MAX_BLACK]
    spread = np.ptp(colours, axis=0).max() if len(colours) else 0
    if alpha.min() < MIN_WHITE and spread <= GREY_CHROMA:
        weight, what = alpha, "the opacity of the strokes"
    elif len(colours) and np.ptp(colours, axis=1).max() > GREY_CHROMA:
        raise InputError(f"{name}: has colours, so its greys do not say how much is filled; save the mask in grey, or "
                         "leave out --soft")
    else:
        on_black = Image.alpha_composite(Image.new("RGBA", grey.size, "black"), grey.convert("RGBA"))
        weight, what = np.asarray(on_black.convert("L")), "the brightness"
    if is_jpeg:
        weight = np.where(weight <= MAX_BLACK, 0, np.where(weight >= MIN_WHITE, 255, weight)).astype(np.uint8)
    if 0 < weight.max() <= MAX_BLACK:
        raise InputError(f"{name}: its brightest value is {weight.max()} of 255, which would fill nothing visibly; "
                         "save the mask in black and white, or leave out --soft")
    is_hole = mask_means == "hole"
    return SoftMask(weight if is_hole else 255 - weight,
                    f"{what} says how much of a pixel is {'filled' if is_hole else 'kept'}")
