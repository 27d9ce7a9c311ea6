"""Growing of holes: all pixels within the radius."""

import numpy as np

from mai_jax.inference.photo_holes import grow


def test_grow_reaches_to_its_radius():
    hole = np.zeros((60, 70), bool)
    hole[[2, 40], [3, 60]] = True
    y, x = np.mgrid[:60, :70]
    near = (np.hypot(y - 2, x - 3) <= 7) | (np.hypot(y - 40, x - 60) <= 7)
    np.testing.assert_array_equal(grow(hole, 7), near)
    np.testing.assert_array_equal(grow(hole, 0), hole)


def test_a_negative_radius_removes_the_pixels_near_what_is_kept():
    hole = np.zeros((20, 30), bool)
    hole[3:17, :12] = True  # the hole goes up to the photograph's left border
    shrunk = grow(hole, -3)
    expected = np.zeros_like(hole)
    expected[6:14, :9] = True
    np.testing.assert_array_equal(shrunk, expected)
    assert not grow(hole, -7).any() and grow(np.ones((4, 5), bool), -2).all()
