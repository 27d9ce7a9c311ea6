"""Pictures of the attention sources of filled pixels: colour maps as in Figs. 8-9, and an overlay on the photograph.

Colours are in CIELAB: the hue is the direction of the source, and the chroma grows from white with its distance.
"""

import math

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image, ImageDraw
from skimage.color import lab2rgb
from skimage.morphology import erosion, footprint_rectangle

from mai_jax.inference.provenance import Heatmap, Provenance
from mai_jax.inference.tiling import Pixels
from mai_jax.visualize import TILE, side_by_side, to_eight_bits, to_uint8

LIGHTNESS, CHROMA = 70, 44  # at the rim of the legend
PINK = math.radians(350)  # hue of a source to the bottom right; opposite, to the top left, is green
VALID_GREY, NO_SOURCE_GREY = 34, 128  # grey values of given pixels and of hole pixels without a source
RADIUS_QUANTILE = 0.9  # share of the sources within the rim of the legend
WHEEL_SIZE = 511  # side of the colour table, in pixels
DIM = 0.35  # brightness of pixels with weight 0
OUTLINE_COLOUR, MARK_COLOUR = (255, 255, 255), (255, 60, 160)  # of the hole, of the query pixel
MAX_SIDE = 640  # of a photograph in a figure, in pixels


def attention_map(
    hole: Bool[np.ndarray, "h w"], provenance: Provenance, radius: int | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the map of Fig. 9: a filled pixel's colour encodes direction and distance of its strongest source.

    The colours are those of `legend`, whose rim is `radius` pixels away; None selects `legend_radius` of this map.
    Sources beyond the rim have its colour. Given pixels are dark, pixels without a source grey.
    """
    picture = np.full((*hole.shape, 3), VALID_GREY, np.uint8)
    picture[hole] = NO_SOURCE_GREY
    offsets = _offsets(provenance)
    rim = np.maximum(np.hypot(*offsets.T), max(legend_radius(provenance) if radius is None else radius, 1))
    centre = WHEEL_SIZE // 2
    at = centre + np.rint(centre * offsets / rim[:, None]).astype(int)
    picture[provenance.share > 0] = _colour_wheel(WHEEL_SIZE)[tuple(at.T)]
    return picture


def legend_radius(*traces: Provenance) -> int:
    """Return the RADIUS_QUANTILE quantile of the source distances, in pixels; 0 without any source.

    With the maximum, a few distant sources would make the colours of all others pale.
    """
    distances = np.concatenate([np.zeros(0), *(np.hypot(*_offsets(trace).T) for trace in traces)])
    return math.ceil(np.quantile(distances, RADIUS_QUANTILE)) if len(distances) else 0


def _offsets(provenance: Provenance) -> Int[np.ndarray, "n 2"]:
    """Return (rows, columns) from each pixel that has a source to that source."""
    has_source = provenance.share > 0
    return provenance.source[has_source] - np.argwhere(has_source)


def legend(size: int) -> UInt8[np.ndarray, "s s 3"]:
    """Return the legend of Fig. 8: the colour at an offset from its centre is that of a source at this offset."""
    y, x = np.meshgrid(*[np.linspace(-1, 1, size)] * 2, indexing="ij")
    return np.where(np.hypot(y, x)[..., None] <= 1, _colour_wheel(size), np.uint8(VALID_GREY))


def _colour_wheel(size: int) -> UInt8[np.ndarray, "s s 3"]:
    """Return the colour of every offset from the centre; the rim of the wheel touches the sides."""
    y, x = np.meshgrid(*[np.linspace(-1, 1, size)] * 2, indexing="ij")
    strength = np.sqrt(np.hypot(y, x))  # most sources are near
    hue = np.arctan2(y, x) - math.pi / 4 + PINK
    lightness = 100 + (LIGHTNESS - 100) * strength
    chroma = CHROMA * strength
    return to_uint8(lab2rgb(np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], -1)))


def overlay(
    image: Pixels, hole: Bool[np.ndarray, "h w"], heatmap: Heatmap, row: int, column: int
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the photograph with the sources of the pixel at (row, column) bright and the rest dim grey.

    The hole is outlined and the pixel marked. `heatmap` is that pixel's entry of `provenance.sources`. 16-bit images
    are reduced to 8 bits.
    """
    pixels = to_eight_bits(image)
    picture = to_uint8(np.float32(DIM / 255) * np.asarray(Image.fromarray(pixels).convert("L"), np.float32))
    picture = picture[..., None].repeat(3, axis=2)
    box, weight = _weight_map(heatmap, hole.shape)
    picture[box] = ((1 - weight) * picture[box] + weight * pixels[box]).astype(np.uint8)
    line = max(max(hole.shape) // 240, 1)
    picture[_outline(hole, line)] = OUTLINE_COLOUR
    page = Image.fromarray(picture)
    draw = ImageDraw.Draw(page)
    for radius, width, colour in ((5 * line, 4 * line, (0, 0, 0)), (4 * line, 2 * line, MARK_COLOUR)):
        draw.ellipse((column - radius, row - radius, column + radius, row + radius), outline=colour, width=width)
    return np.asarray(page)


def figure(
    image: Pixels, filled: Pixels, hole: Bool[np.ndarray, "h w"], traces: dict[str, Provenance]
) -> Image.Image:
    """Return Fig. 9 for one photograph: input, result, the map of each stage, and the legend with its radius.

    The photograph is cropped to the hole and its strongest sources.
    """
    radius = legend_radius(*traces.values())
    maps = {stage.replace("_", " "): attention_map(hole, trace, radius) for stage, trace in traces.items()}
    masked = np.where(hole[..., None], np.uint8(255), to_eight_bits(image))
    box = _crop_box(hole, traces)
    tiles = [_fit(picture[box]) for picture in (masked, to_eight_bits(filled), *maps.values())]
    titles = ["input", "result", *maps]
    if maps:
        tiles.append(_pad_centred(legend(min(tiles[0].shape[:2])), tiles[0].shape[:2]))
        titles.append(f"rim: {radius} px or more")
    return side_by_side({title: tile[None].astype(np.float32) / 255
                         for title, tile in zip(titles, tiles, strict=True)})


def _weight_map(
    heatmap: Heatmap, shape: tuple[int, int]
) -> tuple[tuple[slice, slice], Float[np.ndarray, "bh bw 1"]]:
    """Return the part of the photograph inside the heatmap and its smoothed weights, scaled to a maximum of 1."""
    side = heatmap.cell * len(heatmap.weights)
    level = heatmap.weights / max(heatmap.weights.max(), np.finfo(np.float32).tiny)
    smooth = np.asarray(Image.fromarray(level).resize((side, side), Image.Resampling.BILINEAR))
    top, left = heatmap.top, heatmap.left
    rows, columns = (slice(max(start, 0), min(start + side, length))
                     for start, length in zip((top, left), shape, strict=True))
    inside = smooth[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left, None]
    return (rows, columns), inside


def _outline(hole: Bool[np.ndarray, "h w"], width: int) -> Bool[np.ndarray, "h w"]:
    """Return the pixels of the hole within `width` of its border."""
    square = footprint_rectangle((2 * width + 1,) * 2, decomposition="separable")
    return hole > erosion(hole.view(np.uint8), square, mode="min")


def _crop_box(hole: Bool[np.ndarray, "h w"], traces: dict[str, Provenance]) -> tuple[slice, slice]:
    """Return the bounding box of the hole and all strongest sources, with a margin; everything without a hole."""
    if not hole.any():
        return slice(None), slice(None)
    positions = [np.argwhere(hole), *(trace.source[trace.share > 0] for trace in traces.values())]
    first = np.min([group.min(0) for group in positions if len(group)], axis=0)
    last = np.max([group.max(0) for group in positions if len(group)], axis=0)
    margin = max(last - first) // 8 + 1
    rows, columns = (slice(max(start - margin, 0), stop + 1 + margin) for start, stop in zip(first, last, strict=True))
    return rows, columns


def _fit(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Return the picture scaled by a whole factor to at most MAX_SIDE and at least TILE; aspect ratio at most 2."""
    reduced = np.asarray(Image.fromarray(picture).reduce(-(-max(picture.shape[:2]) // MAX_SIDE)))
    h, w, _ = reduced.shape
    page = _pad_centred(reduced, (max(h, w // 2), max(w, h // 2)))
    factor = -(-TILE // min(*page.shape[:2], TILE))
    return page.repeat(factor, axis=0).repeat(factor, axis=1)


def _pad_centred(picture: UInt8[np.ndarray, "h w 3"], shape: tuple[int, int]) -> UInt8[np.ndarray, "h2 w2 3"]:
    page = np.full((*shape, 3), VALID_GREY, np.uint8)
    h, w, _ = picture.shape
    top, left = (shape[0] - h) // 2, (shape[1] - w) // 2
    page[top : top + h, left : left + w] = picture
    return page
