"""Windows cover every pixel of a hole, contain only given pixels, and are pasted only into the hole."""

import numpy as np
import pytest

from mai_jax.inference import tiling
from mai_jax.inference.tiling import Window

SIZE, LIMIT = 32, 0.25
RNG = np.random.default_rng(0)


def photo(h, w, dtype=np.uint8):
    return RNG.integers(0, np.iinfo(dtype).max, (h, w, 3), dtype, endpoint=True)


def rectangle(shape, top, left, height, width):
    hole = np.zeros(shape, bool)
    hole[top : top + height, left : left + width] = True
    return hole


def random_hole(h, w):
    kind = RNG.integers(5)
    if kind == 0:
        return np.zeros((h, w), bool)
    if kind == 1:
        return np.ones((h, w), bool)
    if kind == 2:
        return RNG.random((h, w)) < 0.001
    hole = np.zeros((h, w), bool)
    for _ in range(RNG.integers(1, 6)):
        top, left = RNG.integers(h), RNG.integers(w)
        hole[top : top + RNG.integers(1, 2 + h // kind), left : left + RNG.integers(1, 1 + w)] = True
    return hole


@pytest.mark.parametrize("trial", range(40))
def test_paste_changes_the_whole_hole_and_nothing_else(trial):
    dtype = (np.uint8, np.uint16)[trial % 2]
    h, w = np.exp(RNG.uniform(0, np.log(400), 2)).astype(int)
    image, hole = photo(h, w, dtype), random_hole(h, w)
    before = image.copy()
    plan = tiling.plan(hole, SIZE, LIMIT)
    ones = np.ones((SIZE, SIZE, 3), np.float32)
    filled = tiling.paste(image, hole, plan, [(window, ones) for window in plan.windows])
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(filled, np.where(hole[..., None], np.iinfo(dtype).max, image))


@pytest.mark.parametrize("shrink", [1, 2, 3])
def test_cut_returns_the_mean_of_the_given_pixels(shrink):
    image, hole = photo(70, 90), rectangle((70, 90), 20, 30, 9, 7)
    top, left = 70 - SIZE * shrink + 5, 11  # extends beyond the border
    pixels, window_hole = tiling.cut(image, hole, Window(top, left, shrink, SIZE))
    for i, j in np.ndindex(SIZE, SIZE):
        y, x = top + i * shrink, left + j * shrink
        inside = [(r, c) for r in range(y, y + shrink) for c in range(x, x + shrink)
                  if 0 <= r < 70 and 0 <= c < 90 and not hole[r, c]]
        assert window_hole[i, j] == (len(inside) < shrink**2)
        expected = np.mean([image[at] for at in inside], axis=0) / 255 if inside else np.zeros(3)
        np.testing.assert_allclose(pixels[i, j], expected, atol=1e-6)


def test_cut_ignores_the_pixels_in_the_hole():
    image, hole = photo(80, 80), rectangle((80, 80), 10, 10, 33, 17)
    poisoned = np.where(hole[..., None], 255 - image, image)
    for shrink in (1, 2):
        for a, b in zip(*(tiling.cut(i, hole, Window(5, 3, shrink, SIZE)) for i in (image, poisoned)), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_hole_gets_the_smallest_shrink_that_its_ratio_allows():
    thin, thick = rectangle((600, 600), 100, 20, 3, 500), rectangle((600, 600), 300, 300, 60, 60)
    plan = tiling.plan(thin | thick, SIZE, LIMIT)
    for window in plan.windows:
        assigned = plan.assigned(window, thin | thick)
        rows, columns = window.inside(600, 600)
        assert not (assigned & (thin if window.shrink > 1 else thick)[rows, columns]).any()
    assert {window.shrink for window in plan.windows} == {1, 4}  # 60 x 60 in 128 x 128 is 22 %
    assert sum(window.shrink == 4 for window in plan.windows) == 1
    np.testing.assert_array_equal(tiling.plan(thick, SIZE, LIMIT).windows, [(264, 264, 4, SIZE)])  # centred to a block


def test_a_photograph_up_to_the_networks_size_is_one_window():
    for shape in ((SIZE, SIZE), (1, 1), (SIZE, 5)):
        assert tiling.plan(np.ones(shape, bool), SIZE, LIMIT).windows == [Window(0, 0, 1, SIZE)]


def test_windows_stay_inside_and_their_number_is_bounded():
    hole = RNG.random((900, 700)) < 0.002  # single pixels everywhere
    plan = tiling.plan(hole, SIZE, LIMIT)
    assert all(0 <= w.top <= 900 - w.side and 0 <= w.left <= 700 - w.side for w in plan.windows)
    assert len(plan.windows) <= 1.2 * (900 / (tiling.CORE * SIZE) + 1) * (700 / (tiling.CORE * SIZE) + 1)


def test_overlapping_windows_blend_without_a_step():
    hole = rectangle((200, 400), 90, 20, 6, 360)
    plan = tiling.plan(hole, SIZE, 0.5)
    assert len(plan.windows) > 10
    predictions = [(window, np.full((SIZE, SIZE, 3), 0.25 + 0.5 * (i % 2), np.float32))
                   for i, window in enumerate(plan.windows)]
    row = tiling.paste(np.zeros((200, 400, 3), np.uint8), hole, plan, predictions)[92, 20:380, 0].astype(int)
    assert row.min() == 64 and row.max() == 191  # 0.25 and 0.75: unblended in the cores
    assert np.abs(np.diff(row)).max() <= 127 / 6  # without blending the step is 127
