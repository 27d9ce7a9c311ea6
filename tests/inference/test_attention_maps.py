"""Pictures of attention sources: colours encode direction and distance as in the legend; overlays highlight sources."""

import numpy as np
import pytest
from skimage.color import lab2lch, rgb2lab

from mai_jax.inference.attention_maps import attention_map, figure, legend, legend_radius, overlay
from mai_jax.inference.provenance import Heatmap, Provenance

PIXEL = (50, 60)
SHAPE = (101, 121)


def sources_at(*offsets):
    """Return a hole of one row of pixels that starts at PIXEL, and their sources at these offsets; None: no source."""
    hole, source, share = np.zeros(SHAPE, bool), np.full((*SHAPE, 2), -1, np.int32), np.zeros(SHAPE, np.float32)
    for j, offset in enumerate(offsets, PIXEL[1]):
        hole[PIXEL[0], j] = True
        if offset is not None:
            source[PIXEL[0], j] = np.add((PIXEL[0], j), offset)
            share[PIXEL[0], j] = 0.5
    return hole, Provenance(source, share)


def lightness_chroma_hue(colours):
    lightness, chroma, hue = np.moveaxis(lab2lch(rgb2lab(colours)), -1, 0)
    return lightness, chroma, np.degrees(hue)


def test_bottom_right_is_pink_and_top_left_is_green():
    hole, trace = sources_at((30, 30), (-30, -30), (30, -30), (-30, 30))
    pink, green, _, _ = attention_map(hole, trace, 42)[hole].astype(int)
    assert pink[0] > 200 and pink[0] > pink[2] > pink[1]
    assert green[1] > 150 and green[1] > green[2] > green[0]
    lightness, chroma, hue = lightness_chroma_hue(attention_map(hole, trace, 42)[hole])
    assert np.ptp(lightness) < 3 and chroma.min() > 35
    assert np.diff(np.sort(hue)).min() > 75  # right angles stay nearly right


def test_chroma_grows_with_distance_up_to_the_rim():
    hole, trace = sources_at((0, 1), (0, 5), (0, 20), (0, 40), (0, 44))
    _, chroma, _ = lightness_chroma_hue(attention_map(hole, trace, 40)[hole])
    assert np.all(np.diff(chroma[:4]) > 4) and chroma[3] == chroma[4]


def test_given_pixels_and_pixels_without_a_source_are_grey():
    hole, trace = sources_at((9, 9), None)
    picture = attention_map(hole, trace)
    given, no_source = np.unique(picture[~hole], axis=0), picture[50, 61]
    assert len(given) == 1 and len({*given[0]}) == len({*no_source}) == 1 and given[0][0] < no_source[0] < 200


def test_the_legend_has_the_colours_of_the_map():
    size, radius = 81, 40
    offsets = [(y, x) for y in range(-28, 29, 14) for x in range(-28, 29, 14)]
    wheel = legend(size)
    for offset in offsets:
        hole, trace = sources_at(offset)
        colour = attention_map(hole, trace, radius)[PIXEL].astype(int)
        assert np.abs(colour - wheel[40 + offset[0], 40 + offset[1]]).max() <= 4, offset
    assert np.all(wheel[0, 0] == attention_map(*sources_at((0, 1)))[0, 0])


def test_a_few_distant_sources_do_not_change_the_legend_radius():
    _, trace = sources_at(*[(3, 4)] * 19, (40, 0))
    assert legend_radius(trace) == 5
    assert legend_radius(trace, sources_at((-30, 0))[1]) == 5
    assert legend_radius() == legend_radius(sources_at(None)[1]) == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("corner", [(4, 8), (-16, -16)])
def test_overlay_is_bright_where_the_weights_are(dtype, corner):
    image = np.full((*SHAPE, 3), (200, 40, 120), np.uint8).astype(dtype) * (1 if dtype == np.uint8 else 257)
    hole = sources_at(*[(1, 1)] * 12)[0]
    hole[46:55, 60:72] = True
    weights = np.zeros((8, 8), np.float32)
    weights[3, 2] = 0.25
    picture = overlay(image, hole, Heatmap(*corner, 12, weights), *PIXEL)
    y, x = corner[0] + 3 * 12 + 6, corner[1] + 2 * 12 + 6
    assert np.abs(picture[y, x].astype(int) - (200, 40, 120)).max() <= 20
    level = picture.max(2).astype(int)
    assert np.median(level) < 60 and np.all(level[:, 85:] == level[0, 120])  # dim far from the source
    assert np.all(picture[46, 66:72] == 255) and np.all(picture[46:55, 71] == 255)  # the outline of the hole
    assert np.ptp(picture[PIXEL[0] - 4 : PIXEL[0] + 5, PIXEL[1] + 1 : PIXEL[1] + 5].astype(int)) > 100  # the mark


def test_overlay_without_any_source_is_dim():
    image, hole = np.full((*SHAPE, 3), 200, np.uint8), sources_at(None)[0]
    picture = overlay(image, hole, Heatmap(0, 0, 16, np.zeros((8, 8), np.float32)), *PIXEL)
    assert np.median(picture) < 100 and np.unique(picture[:40]).size == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (700, 3), (64, 64), (1300, 900)])
def test_figure_has_a_bounded_size(shape):
    image, hole = np.full((*shape, 3), 90, np.uint8), np.zeros(shape, bool)
    hole[shape[0] // 2, shape[1] // 2] = hole[0, 0] = hole[-1, -1] = True
    source, share = np.full((*shape, 2), -1, np.int32), np.zeros(shape, np.float32)
    if hole.size > 1:
        source[0, 0], share[0, 0] = (shape[0] - 1, 0), 1
    one, two = (figure(image, image, hole, dict.fromkeys(stages, Provenance(source, share)))
                for stages in (["attention_1"], ["attention_1", "attention_2"]))
    assert two.width < 4000 and 192 <= two.height < 850
    none = figure(image, image, hole, {})  # without a legend
    assert one.width - none.width == 2 * (two.width - one.width) > 300


def test_figure_is_cropped_to_the_hole_and_its_sources():
    image, hole = np.zeros((2000, 3000, 3), np.uint8), np.zeros((2000, 3000), bool)
    image[1000:1040, 1000:1040] = (255, 0, 0)
    hole[1010:1030, 1010:1030] = True
    source = np.where(hole[..., None], (1005, 1005), -1).astype(np.int32)
    page = np.asarray(figure(image, image, hole, {"attention_1": Provenance(source, hole.astype(np.float32))}))
    red = (page == (255, 0, 0)).all(2)
    assert red.mean() > 0.1
