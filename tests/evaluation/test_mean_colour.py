"""The mean-colour baseline: the mean of the valid pixels, independent of the content of the hole and without JAX."""

import logging

import jax
import numpy as np
import pytest

from mai_jax.evaluation.classical import METHODS, fill_mean_colour


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
def test_mean_of_the_valid_pixels_only(dtype, white):
    rng = np.random.default_rng(0)
    image, hole = rng.integers(0, white + 1, (8, 10, 3)).astype(dtype), rng.random((8, 10)) < 0.4
    for hidden in (0, white):
        poisoned = np.where(hole[..., None], dtype(hidden), image)
        filled = fill_mean_colour(poisoned, hole)
        np.testing.assert_array_equal(filled[~hole], image[~hole])
        assert filled.dtype == dtype and np.abs(filled[hole] - image[~hole].mean(0)).max() <= 0.5
    middle = fill_mean_colour(image, np.ones((8, 10), bool))
    assert (middle == middle[0, 0, 0]).all() and abs(int(middle[0, 0, 0]) - white / 2) <= 0.5


@pytest.mark.parametrize("method", METHODS)
def test_images_of_many_sizes_compile_nothing(method, caplog):
    """Otherwise a process that fills many photographs grows with each: 12 MB and 0.3 s of a core were measured."""
    rng = np.random.default_rng(0)
    with jax.log_compiles(), caplog.at_level(logging.DEBUG, "jax"):
        for side in (11, 12, 13):
            METHODS[method](rng.integers(0, 256, (side, 9, 3), np.uint8), np.eye(side, 9, dtype=bool))
    assert "ompil" not in caplog.text
