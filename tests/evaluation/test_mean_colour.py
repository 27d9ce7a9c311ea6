"""The mean-colour baseline: the mean of the valid pixels against NumPy, independent of the hole content."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax.batch import Batch
from mai_jax.evaluation.classical import mean_colour


def random_batch():
    rng = np.random.default_rng(0)
    valid = (rng.random((3, 8, 10, 1)) < 0.4).astype(np.float32)
    valid[2] = 0
    return rng.random((3, 8, 10, 3), np.float32), valid


@pytest.mark.parametrize("poison", [0, 1e30, np.nan])
def test_mean_of_the_valid_pixels_only(poison):
    image, valid = random_batch()
    filled = jax.jit(mean_colour)(Batch(jnp.where(valid > 0, image, poison), jnp.asarray(valid)))
    assert filled.shape == image.shape
    for i in range(2):
        colour = image[i][valid[i, ..., 0] > 0].mean(axis=0)
        np.testing.assert_allclose(filled[i], np.broadcast_to(colour, image[i].shape), rtol=1e-6)
    assert np.all(filled[2] == 0.5)
