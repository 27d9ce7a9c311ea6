"""Mask files read as holes. `read` is the only place that decides which pixels of a mask file are the hole.

A mask has two kinds of pixels, and one of them is marked: white against black, the brighter of two greys, a colour
against black or white, what is opaque in a layer of strokes, what is transparent in a picture. A file that can be
understood in several ways is refused.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageChops

from mai_jax import files
from mai_jax.data import images
from mai_jax.errors import InputError

MAX_BLACK, MIN_WHITE = 16, 239  # a JPEG of a black and white mask has values in [0, 16] and [239, 255]
MAX_UNCLEAR = 0.3  # share of pixels between both values above which a file is not taken for a mask
GREY_CHROMA = 32  # largest difference between the channels of a compressed grey
COLOUR_CHROMA = 64  # smallest difference between the channels of a colour
NEAR = 48  # distance within which a pixel has the colour of a mask, or of its ground
MAX_OFF_SHARE = 0.25  # number of pixels far from the line between both, divided by that of the marked ones
MIN_GROUND = 0.02  # share of pixels of the ground of a mask in colour; a picture may have none
FEW_COLOURS = 8  # a picture with an erased hole has more
STRIP_PIXELS = 1 << 20  # that are compared with the two colours at a time
NOTHING_OPAQUE = ", but no pixel is opaque"
PLAIN = "white"  # the marked part of a black and white mask


class Mask(NamedTuple):
    """A mask file as a hole (True = missing).

    `reading` says which pixels were taken for the hole, such as "white is the hole". `unclear` is the share of pixels
    that are neither of the two values, such as grey pixels of a black and white mask.
    """

    hole: Bool[np.ndarray, "h w"]
    reading: str
    unclear: float


class _Marked(NamedTuple):
    pixels: Bool[np.ndarray, "h w"]
    what: str
    unclear: float = 0.0
    note: str = ""


class _Ambiguous(Exception):
    """The image is not understood as a mask; the message says why."""


def read(
    encoded: bytes, name: str, mask_means: str, threshold: int | None = None, *, threshold_flag: str = ""
) -> Mask:  # fmt: skip
    """Return the mask in `encoded`, a file of any mode, upright.

    `mask_means` says what the marked part is: "hole" or "valid" ("known" is accepted for "valid"). With `threshold`
    the marked part is what has at least that brightness (1 to 255), with transparency on black. Raises InputError,
    which starts with `name` and names `threshold_flag`, for a file that is not an image or not understood as a mask.
    """
    if mask_means not in ("hole", "valid", "known"):
        raise InputError(f"mask_means={mask_means!r}: must be hole or valid")
    image = images.decode_as_stored(encoded, name)
    return interpret(image, name, mask_means, threshold, threshold_flag=threshold_flag)


def interpret(
    image: Image.Image, name: str, mask_means: str, threshold: int | None = None, *, threshold_flag: str = ""
) -> Mask:  # fmt: skip
    """Return the mask in a decoded image, as `read`."""
    try:
        marked = _find_marked(image) if threshold is None else _above(image, threshold)
    except _Ambiguous as reason:
        flag = f", or give {threshold_flag}=N (1 to 255): pixels of that brightness and above are white"
        advice = f"save the mask in black and white{flag if threshold_flag else ''}"
        raise InputError(f"{name}: {reason}; {advice}") from None
    except ValueError as reason:  # 32 bits of unknown range
        raise InputError(f"{name}: cannot be read as a mask ({reason})") from reason
    is_hole = mask_means == "hole"
    reading = f"{marked.what} is {'the hole' if is_hole else 'the part to keep'}{marked.note}"
    return Mask(marked.pixels if is_hole else ~marked.pixels, reading, marked.unclear)


def read_file(
    path: str | Path, mask_means: str, threshold: int | None = None, *, threshold_flag: str = ""
) -> Mask:  # fmt: skip
    """Return the mask in a file, as `read`. Raises InputError also if the file cannot be read."""
    try:
        encoded = files.read_file(Path(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a mask file") from error
    return read(encoded, str(path), mask_means, threshold, threshold_flag=threshold_flag)


def check_size(mask: Mask, name: str, size_hw: Sequence[int]) -> None:
    """Raise InputError, which starts with `name`, unless the mask has the (height, width) of its photograph."""
    if mask.hole.shape != tuple(size_hw):
        (mask_h, mask_w), (h, w) = mask.hole.shape, size_hw
        raise InputError(f"{name}: the mask is {mask_w} x {mask_h} and its photograph {w} x {h} (width x height); draw "
                         "it on the photograph, in the photograph's size")


def _above(image: Image.Image, threshold: int) -> _Marked:
    grey = _on_black(image)
    return _Marked(np.asarray(grey) >= threshold, f"brightness {threshold} and above")


def _find_marked(image: Image.Image) -> _Marked:
    if image.has_transparency_data:
        alpha = image.convert("RGBA").getchannel("A")
        lo, *_, hi = np.flatnonzero(alpha.histogram())[[0, -1]]
        if hi <= MAX_BLACK:
            return _Marked(np.zeros((image.height, image.width), bool), "the opaque part", note=NOTHING_OPAQUE)
        if lo < MIN_WHITE and lo < hi:
            return _from_layer(image.convert("RGBA"), alpha)
    if image.mode in images.DEEP_MODES:
        values = np.asarray(image)
        lo, hi = float(values.min()), float(values.max())
        if hi > lo and ((values == lo) | (values == hi)).all():
            is_plain = image.mode not in ("F", "I") and (lo, hi) == (0, 65535)
            return _Marked(values == hi, PLAIN if is_plain else _brighter(lo, hi))
        return _from_grey(images.to_eight_bits(image))
    if image.mode in ("1", "L", "LA", "La"):
        return _from_grey(image.convert("L"))
    return _from_colour(image)


def _brighter(lo: float, hi: float) -> str:
    return f"the brighter of its two values ({hi:g}, not {lo:g})"


def _from_grey(image: Image.Image) -> _Marked:
    """Return what is white; of two greys, the brighter."""
    counts = np.array(image.histogram())
    present = np.flatnonzero(counts)
    values = np.asarray(image)
    if len(present) == 2:
        lo, hi = map(int, present)
        return _Marked(values == hi, PLAIN if lo <= MAX_BLACK and hi >= MIN_WHITE else _brighter(float(lo), float(hi)))
    unclear = float(counts[MAX_BLACK + 1 : MIN_WHITE].sum() / counts.sum())
    if unclear > MAX_UNCLEAR:
        raise _Ambiguous(f"is no mask: {unclear:.0%} of its pixels are neither black nor white, as in a photograph")
    note = "" if present[-1] >= 128 else f", but no pixel is white (the brightest is {present[-1]} of 255)"
    return _Marked(values >= 128, PLAIN, unclear, note)


def _from_layer(image: Image.Image, alpha: Image.Image) -> _Marked:
    """Return the strokes of a layer of one colour, what is white in one of black and white, or a picture's gap.

    The image has mode RGBA and pixels of different alpha.
    """
    present = np.flatnonzero(alpha.histogram())
    opaque = np.asarray(alpha) >= (present[-1] if len(present) == 2 else 128)
    between = np.asarray(alpha.histogram())[MAX_BLACK + 1 : MIN_WHITE].sum() / opaque.size
    unclear = 0.0 if len(present) == 2 else float(between)
    if not opaque.any():
        return _Marked(opaque, "the opaque part", unclear, NOTHING_OPAQUE)
    colours = np.asarray(image)[opaque][:, :3]
    lo, hi = colours.min(0), colours.max(0)
    if (hi - lo).max() <= GREY_CHROMA:
        middle = ", ".join(str(channel) for channel in np.median(colours, 0).astype(int))
        return _Marked(opaque, f"the opaque part, of the colour ({middle}),", unclear)
    if (colours.max(1) - colours.min(1)).max() <= GREY_CHROMA:
        grey = (colours[:, 0] > MAX_BLACK) & (colours[:, 0] < MIN_WHITE)
        if grey.mean() <= MAX_UNCLEAR:
            white = opaque.copy()
            white[opaque] = colours[:, 0] >= 128
            return _Marked(white, PLAIN, unclear + float(grey.sum() / opaque.size))
    alone = Image.fromarray(np.asarray(image) * opaque[..., None])
    if alone.getcolors(FEW_COLOURS + 1) is not None:
        raise _Ambiguous("has strokes of several colours on transparency")
    if unclear > MAX_UNCLEAR:
        raise _Ambiguous(f"{unclear:.0%} of the pixels are partly transparent")
    return _Marked(~opaque, "the transparent part", unclear)


def _from_colour(image: Image.Image) -> _Marked:
    """Return what has the colour, in an image of one colour and black or white."""
    rgb = image.convert("RGB")
    red, *others = rgb.split()
    if image.mode == "RGB" and not any(ImageChops.difference(red, other).getbbox() for other in others):
        return _from_grey(red)  # equal channels, without a look at every colour
    colours = [np.array(colour) for _, colour in rgb.getcolors(2) or ()]
    if len(colours) == 2:
        return _of_two_colours(image, rgb, colours)
    if len(colours) == 1 and (indices := _two_indices(image)):
        return _of_two_indices(image, indices)
    values = np.asarray(rgb)
    chroma = values.max(-1) - values.min(-1)
    if chroma.max() <= GREY_CHROMA:
        return _from_grey(image.convert("L"))
    return _colour_on_ground(values, chroma)


def _of_two_colours(image: Image.Image, rgb: Image.Image, colours: Sequence[np.ndarray]) -> _Marked:
    grey, vivid = ([c for c in colours if (np.ptp(c) > GREY_CHROMA) == is_vivid] for is_vivid in (False, True))
    if len(grey) == 2:
        dark, bright = sorted(grey, key=lambda c: c.sum())
        plain = dark.max() <= MAX_BLACK and bright.min() >= MIN_WHITE
        return _Marked(_equal(rgb, bright), PLAIN if plain else _brighter(float(dark.mean()), float(bright.mean())))
    if len(grey) == 1:
        return _Marked(_equal(rgb, vivid[0]), f"the colour {_name(vivid[0])}")
    if indices := _two_indices(image):
        return _of_two_indices(image, indices)
    raise _Ambiguous(f"has two colours, {_name(vivid[0])} and {_name(vivid[1])}, of which neither is black or white")


def _two_indices(image: Image.Image) -> list[int]:
    """Return the two palette indices that the image uses, ascending; none if they are not two."""
    present = np.flatnonzero(image.histogram()) if image.mode == "P" else np.empty(0)
    return [int(index) for index in present] if len(present) == 2 else []


def _of_two_indices(image: Image.Image, indices: list[int]) -> _Marked:
    return _Marked(np.asarray(image) == indices[1], f"palette index {indices[1]}, not {indices[0]},")


def _colour_on_ground(rgb: UInt8[np.ndarray, "h w 3"], chroma: UInt8[np.ndarray, "h w"]) -> _Marked:
    """Return what is nearer to the colour than to black or white, where nearly all pixels are close to one of them.

    The others, at blurred and compressed edges, are near the line between both.
    """
    vivid = chroma > COLOUR_CHROMA
    picture = _Ambiguous("is no mask: it has many colours or greys, as a photograph")
    if not vivid.any():
        raise picture
    colour = np.median(rgb[vivid], 0).astype(np.float32)
    is_dark = np.count_nonzero(rgb.max(-1) <= NEAR) >= np.count_nonzero(rgb.min(-1) >= 255 - NEAR)
    ground = np.float32(0 if is_dark else 255)
    marked, at_colour, at_ground, off = np.empty(rgb.shape[:2], bool), 0, 0, 0
    step = max(STRIP_PIXELS // rgb.shape[1], 1)
    towards = colour - ground
    for top in range(0, len(rgb), step):
        pixels = rgb[top : top + step].astype(np.float32) - ground
        position = (pixels @ towards / (towards @ towards)).clip(0, 1)
        marked[top : top + step] = position >= 0.5
        at_colour += int(np.count_nonzero(np.linalg.norm(pixels - towards, axis=-1) <= NEAR))
        at_ground += int(np.count_nonzero(np.linalg.norm(pixels, axis=-1) <= NEAR))
        off += int(np.count_nonzero(np.linalg.norm(pixels - position[..., None] * towards, axis=-1) > NEAR))
    unclear = 1 - (at_colour + at_ground) / marked.size
    has_ground = at_ground >= MIN_GROUND * marked.size
    if off > MAX_OFF_SHARE * np.count_nonzero(marked) or unclear > MAX_UNCLEAR / 2 or not has_ground:
        raise picture
    return _Marked(marked, f"the colour {_name(colour)}", unclear)


def _equal(rgb: Image.Image, colour: np.ndarray) -> Bool[np.ndarray, "h w"]:
    return (np.asarray(rgb) == colour.astype(np.uint8)).all(-1)


def _name(colour: np.ndarray) -> str:
    return f"({', '.join(str(int(channel)) for channel in colour)})"


def _on_black(image: Image.Image) -> Image.Image:
    """Return the luminance with 8 bits, transparency on black."""
    image = images.to_eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return image.convert("L")
