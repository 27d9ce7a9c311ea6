"""Pictures of where filled pixels were taken from: in the colours of the paper's Figs. 8-9, and on the photo itself.

In CIELAB direction is hue, and distance takes a colour from white to its fullest.
"""

import math

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image, ImageDraw
from skimage.color import lab2rgb
from skimage.morphology import erosion, footprint_rectangle

from mai_jax.inference.provenance import Heat, Provenance
from mai_jax.inference.windows import Pixels
from mai_jax.visualize import TILE, eight_bits, side_by_side, to_uint8

LIGHTNESS, CHROMA = 70, 44  # of the fullest colours
PINK = math.radians(350)  # hue of a source to the bottom right; opposite, to the top left, is green
KNOWN, NOWHERE = 34, 128  # greys: of pixels that were given, of those without a source
ALL_BUT = 0.9  # share of the sources that lie within the rim of the legend
WHEEL = 511  # side of the table of colours
DIM = 0.35  # brightness of what gave nothing
OUTLINE, MARK = (255, 255, 255), (255, 60, 160)  # of the hole, of the pixel asked about
LARGEST = 640  # pixels: side of a photograph in a figure, at most


def attention_map(
    hole: Bool[np.ndarray, "h w"], provenance: Provenance, reach: int | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Fig. 9: the colour of a filled pixel says in which direction and how far from it its strongest source lies.

    The colours are those of `legend`, whose rim is `reach` pixels away; None: `reach_of` this map. Given pixels are
    dark, and pixels without a source grey.
    """
    picture = np.full((*hole.shape, 3), KNOWN, np.uint8)
    picture[hole] = NOWHERE
    ways = _ways(provenance)
    rim = np.maximum(np.hypot(*ways.T), max(reach_of(provenance) if reach is None else reach, 1))
    middle = WHEEL // 2
    at = middle + np.rint(middle * ways / rim[:, None]).astype(int)
    picture[provenance.share > 0] = _colours(WHEEL)[tuple(at.T)]
    return picture


def reach_of(*traces: Provenance) -> int:
    """Pixels within which all but the furthest sources lie: a few far ones would turn all others pale. 0 for none."""
    distances = np.concatenate([np.zeros(0), *(np.hypot(*_ways(found).T) for found in traces)])
    return math.ceil(np.quantile(distances, ALL_BUT)) if len(distances) else 0


def _ways(provenance: Provenance) -> Int[np.ndarray, "n 2"]:
    """Rows and columns from each pixel that has a source to that source."""
    found = provenance.share > 0
    return provenance.source[found] - np.argwhere(found)


def legend(size: int) -> UInt8[np.ndarray, "s s 3"]:
    """The key to the colours, Fig. 8: a pixel in the centre has the colour of the place where its source lies."""
    y, x = np.meshgrid(*[np.linspace(-1, 1, size)] * 2, indexing="ij")
    return np.where(np.hypot(y, x)[..., None] <= 1, _colours(size), np.uint8(KNOWN))


def _colours(size: int) -> UInt8[np.ndarray, "s s 3"]:
    """The colour of every way from the centre; the rim of the wheel touches the sides."""
    y, x = np.meshgrid(*[np.linspace(-1, 1, size)] * 2, indexing="ij")
    strength = np.sqrt(np.hypot(y, x))  # most sources are near
    hue = np.arctan2(y, x) - math.pi / 4 + PINK
    lightness = 100 + (LIGHTNESS - 100) * strength
    chroma = CHROMA * strength
    return to_uint8(lab2rgb(np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], -1)))


def overlay(
    image: Pixels, hole: Bool[np.ndarray, "h w"], heat: Heat, row: int, column: int
) -> UInt8[np.ndarray, "h w 3"]:
    """The photo with what gave to the pixel at (row, column) bright and the rest dim; that pixel and the hole marked.

    `heat` is that pixel's, of `provenance.sources`. 16 bits become 8.
    """
    eight = eight_bits(image)
    shown = to_uint8(np.float32(DIM / 255) * np.asarray(Image.fromarray(eight).convert("L"), np.float32))
    shown = shown[..., None].repeat(3, axis=2)
    box, light = _light(heat, hole.shape)
    shown[box] = ((1 - light) * shown[box] + light * eight[box]).astype(np.uint8)
    line = max(max(hole.shape) // 240, 1)
    shown[_outline(hole, line)] = OUTLINE
    page = Image.fromarray(shown)
    draw = ImageDraw.Draw(page)
    for radius, width, colour in ((5 * line, 4 * line, (0, 0, 0)), (4 * line, 2 * line, MARK)):
        draw.ellipse((column - radius, row - radius, column + radius, row + radius), outline=colour, width=width)
    return np.asarray(page)


def figure(
    image: Pixels, filled: Pixels, hole: Bool[np.ndarray, "h w"], traces: dict[str, Provenance]
) -> Image.Image:
    """Fig. 9 for one photo: input, result, a map for each stage and the key to their colours, whose rim is named.

    Of a photo it shows the part that holds the hole and its strongest sources.
    """
    reach = reach_of(*traces.values())
    maps = {stage.replace("_", " "): attention_map(hole, found, reach) for stage, found in traces.items()}
    photo = eight_bits(image)
    given = np.where(hole[..., None], np.uint8(255), photo)
    box = _at_stake(hole, traces)
    shown = [_fitted(picture[box]) for picture in (given, eight_bits(filled), *maps.values())]
    titles = ["input", "result", *maps]
    if maps:
        shown.append(_centred(legend(min(shown[0].shape[:2])), shown[0].shape[:2]))
        titles.append(f"rim: {reach} px or more")
    return side_by_side({title: picture[None].astype(np.float32) / 255
                         for title, picture in zip(titles, shown, strict=True)})


def _light(
    heat: Heat, shape: tuple[int, int]
) -> tuple[tuple[slice, slice], Float[np.ndarray, "bh bw 1"]]:
    """The part of the photo that the heat covers, and how bright each of its pixels is: 1 where most came from."""
    side = heat.cell * len(heat.weights)
    level = heat.weights / max(heat.weights.max(), np.finfo(np.float32).tiny)
    smooth = np.asarray(Image.fromarray(level).resize((side, side), Image.Resampling.BILINEAR))
    box = tuple(slice(max(start, 0), min(start + side, length))
                for start, length in zip((heat.top, heat.left), shape, strict=True))
    rows, columns = (slice(part.start - start, part.stop - start)
                     for part, start in zip(box, (heat.top, heat.left), strict=True))
    return box, smooth[rows, columns, None]


def _outline(hole: Bool[np.ndarray, "h w"], width: int) -> Bool[np.ndarray, "h w"]:
    """The pixels of the hole at its rim."""
    square = footprint_rectangle((2 * width + 1,) * 2, decomposition="separable")
    return hole > erosion(hole.view(np.uint8), square, mode="min")


def _at_stake(hole: Bool[np.ndarray, "h w"], traces: dict[str, Provenance]) -> tuple[slice, slice]:
    """The part of the photo with the whole hole and all strongest sources, and a margin; all of it without a hole."""
    if not hole.any():
        return slice(None), slice(None)
    places = [np.argwhere(hole), *(found.source[found.share > 0] for found in traces.values())]
    first = np.min([place.min(0) for place in places if len(place)], axis=0)
    last = np.max([place.max(0) for place in places if len(place)], axis=0)
    margin = max(last - first) // 8 + 1
    return tuple(slice(max(start - margin, 0), stop + 1 + margin) for start, stop in zip(first, last, strict=True))


def _fitted(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Reduced to LARGEST at most, a strip made a broader one, and enlarged to TILE at least, by whole factors."""
    reduced = np.asarray(Image.fromarray(picture).reduce(-(-max(picture.shape[:2]) // LARGEST)))
    h, w, _ = reduced.shape
    page = _centred(reduced, (max(h, w // 2), max(w, h // 2)))
    factor = -(-TILE // min(*page.shape[:2], TILE))
    return page.repeat(factor, axis=0).repeat(factor, axis=1)


def _centred(picture: UInt8[np.ndarray, "h w 3"], shape: tuple[int, int]) -> UInt8[np.ndarray, "h2 w2 3"]:
    page = np.full((*shape, 3), KNOWN, np.uint8)
    h, w, _ = picture.shape
    top, left = (shape[0] - h) // 2, (shape[1] - w) // 2
    page[top : top + h, left : left + w] = picture
    return page
