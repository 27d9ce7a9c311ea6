"""The floor row: the mean of the known pixels against NumPy, and nothing of the hole in it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax.evaluation import mean_colour
from mai_jax.types import Batch


def draw():
    rng = np.random.default_rng(0)
    known = (rng.random((3, 8, 10, 1)) < 0.4).astype(np.float32)
    known[2] = 0
    return rng.random((3, 8, 10, 3), np.float32), known


@pytest.mark.parametrize("poison", [0, 1e30, np.nan])
def test_mean_of_the_known_pixels_only(poison):
    image, known = draw()
    filled = jax.jit(mean_colour.fill)(Batch(jnp.where(known > 0, image, poison), jnp.asarray(known)))
    assert filled.shape == image.shape
    for i in range(2):
        colour = image[i][known[i, ..., 0] > 0].mean(axis=0)
        np.testing.assert_allclose(filled[i], np.broadcast_to(colour, image[i].shape), rtol=1e-6)
    assert np.all(filled[2] == 0.5)
