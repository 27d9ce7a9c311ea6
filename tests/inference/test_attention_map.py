"""What the pictures say: direction and distance in the colours of the key, and light where a pixel was taken from."""

import numpy as np
import pytest
from skimage.color import lab2lch, rgb2lab

from mai_jax.inference.attention_map import attention_map, figure, legend, overlay, reach_of
from mai_jax.inference.provenance import Heat, Provenance

PIXEL = (50, 60)
SHAPE = (101, 121)


def taken_from(*ways):
    """A hole of one row of pixels from PIXEL on, and that each was taken from this way off; None: from nowhere."""
    hole, source, share = np.zeros(SHAPE, bool), np.full((*SHAPE, 2), -1, np.int32), np.zeros(SHAPE, np.float32)
    for j, way in enumerate(ways, PIXEL[1]):
        hole[PIXEL[0], j] = True
        if way is not None:
            source[PIXEL[0], j] = np.add((PIXEL[0], j), way)
            share[PIXEL[0], j] = 0.5
    return hole, Provenance(source, share)


def lightness_chroma_hue(colours):
    lightness, chroma, hue = np.moveaxis(lab2lch(rgb2lab(colours)), -1, 0)
    return lightness, chroma, np.degrees(hue)


def test_bottom_right_is_pink_and_top_left_is_green():
    hole, found = taken_from((30, 30), (-30, -30), (30, -30), (-30, 30))
    pink, green, _, _ = attention_map(hole, found, 42)[hole].astype(int)
    assert pink[0] > 200 and pink[0] > pink[2] > pink[1]
    assert green[1] > 150 and green[1] > green[2] > green[0]
    lightness, chroma, hue = lightness_chroma_hue(attention_map(hole, found, 42)[hole])
    assert np.ptp(lightness) < 3 and chroma.min() > 35
    assert np.diff(np.sort(hue)).min() > 75  # right angles stay nearly right


def test_further_is_fuller_up_to_the_rim():
    hole, found = taken_from((0, 1), (0, 5), (0, 20), (0, 40), (0, 44))
    _, chroma, _ = lightness_chroma_hue(attention_map(hole, found, 40)[hole])
    assert np.all(np.diff(chroma[:4]) > 4) and chroma[3] == chroma[4]


def test_given_and_unknown_pixels_have_no_colour():
    hole, found = taken_from((9, 9), None)
    picture = attention_map(hole, found)
    given, nowhere = np.unique(picture[~hole], axis=0), picture[50, 61]
    assert len(given) == 1 and len({*given[0]}) == len({*nowhere}) == 1 and given[0][0] < nowhere[0] < 200


def test_the_legend_is_the_key_to_the_map():
    size, reach = 81, 40
    ways = [(y, x) for y in range(-28, 29, 14) for x in range(-28, 29, 14)]
    key = legend(size)
    for way in ways:
        hole, found = taken_from(way)
        colour = attention_map(hole, found, reach)[PIXEL].astype(int)
        assert np.abs(colour - key[40 + way[0], 40 + way[1]]).max() <= 4, way
    assert np.all(key[0, 0] == attention_map(*taken_from((0, 1)))[0, 0])


def test_a_few_far_sources_do_not_set_the_reach():
    _, found = taken_from(*[(3, 4)] * 19, (40, 0))
    assert reach_of(found) == 5
    assert reach_of(found, taken_from((-30, 0))[1]) == 5
    assert reach_of() == reach_of(taken_from(None)[1]) == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("corner", [(4, 8), (-16, -16)])
def test_overlay_is_bright_where_the_heat_is(dtype, corner):
    image = np.full((*SHAPE, 3), (200, 40, 120), np.uint8).astype(dtype) * (1 if dtype == np.uint8 else 257)
    hole = taken_from(*[(1, 1)] * 12)[0]
    hole[46:55, 60:72] = True
    weights = np.zeros((8, 8), np.float32)
    weights[3, 2] = 0.25
    shown = overlay(image, hole, Heat(*corner, 12, weights), *PIXEL)
    y, x = corner[0] + 3 * 12 + 6, corner[1] + 2 * 12 + 6
    assert np.abs(shown[y, x].astype(int) - (200, 40, 120)).max() <= 20
    level = shown.max(2).astype(int)
    assert np.median(level) < 60 and np.all(level[:, 85:] == level[0, 120])  # far from it all is dim
    assert np.all(shown[46, 66:72] == 255) and np.all(shown[46:55, 71] == 255)  # the hole's rim
    assert np.ptp(shown[PIXEL[0] - 4 : PIXEL[0] + 5, PIXEL[1] + 1 : PIXEL[1] + 5].astype(int)) > 100  # the mark


def test_overlay_without_any_source_is_dim():
    image, hole = np.full((*SHAPE, 3), 200, np.uint8), taken_from(None)[0]
    shown = overlay(image, hole, Heat(0, 0, 16, np.zeros((8, 8), np.float32)), *PIXEL)
    assert np.median(shown) < 100 and np.unique(shown[:40]).size == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (700, 3), (64, 64), (1300, 900)])
def test_figure_fits_a_screen_for_every_photo(shape):
    image, hole = np.full((*shape, 3), 90, np.uint8), np.zeros(shape, bool)
    hole[shape[0] // 2, shape[1] // 2] = hole[0, 0] = hole[-1, -1] = True
    source, share = np.full((*shape, 2), -1, np.int32), np.zeros(shape, np.float32)
    if hole.size > 1:
        source[0, 0], share[0, 0] = (shape[0] - 1, 0), 1
    one, two = (figure(image, image, hole, dict.fromkeys(stages, Provenance(source, share)))
                for stages in (["attention_1"], ["attention_1", "attention_2"]))
    assert two.width < 4000 and 192 <= two.height < 850
    none = figure(image, image, hole, {})  # without a key
    assert one.width - none.width == 2 * (two.width - one.width) > 300


def test_figure_shows_the_part_at_stake():
    image, hole = np.zeros((2000, 3000, 3), np.uint8), np.zeros((2000, 3000), bool)
    image[1000:1040, 1000:1040] = (255, 0, 0)
    hole[1010:1030, 1010:1030] = True
    source = np.where(hole[..., None], (1005, 1005), -1).astype(np.int32)
    page = np.asarray(figure(image, image, hole, {"attention_1": Provenance(source, hole.astype(np.float32))}))
    red = (page == (255, 0, 0)).all(2)
    assert red.mean() > 0.1
