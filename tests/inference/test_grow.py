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
