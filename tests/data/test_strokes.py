"""Drawn holes have exactly the requested ratio, the shape of strokes, and cover all positions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy import ndimage

from mai_jax.data import strokes
from mai_jax.data.strokes import draw


def holes(shape, ratios, seed=0):
    """Return holes [n, h, w] bool, one key per ratio."""
    ratios = jnp.asarray(ratios, jnp.float32)
    keys = random.split(random.key(seed), len(ratios))
    valid = jax.jit(jax.vmap(lambda key, ratio: draw(key, shape, ratio)))(keys, ratios)
    assert valid.shape == (len(ratios), *shape, 1) and valid.dtype == jnp.float32
    assert set(np.unique(valid)) <= {0.0, 1.0}
    return np.asarray(valid)[..., 0] == 0


def test_a_thousand_holes_have_the_requested_ratio_to_the_pixel():
    ratios = np.linspace(0.01, 0.6, 1000, dtype=np.float32)
    np.testing.assert_array_equal(holes((64, 64), ratios).sum((1, 2)), np.rint(ratios.astype(np.float64) * 64 * 64))


@pytest.mark.parametrize("shape", [(16, 16), (40, 96)])
def test_any_shape_and_any_ratio(shape):
    pixels = shape[0] * shape[1]
    ratios = np.float32([0, 1 / pixels, 0.02, 0.3, 0.97, 1 - 1 / pixels, 1])
    np.testing.assert_array_equal(holes(shape, ratios).sum((1, 2)), np.rint(ratios.astype(np.float64) * pixels))


def test_smallest_takes_the_first_pixels_of_equal_values():
    rng = np.random.default_rng(0)
    smallest = jax.jit(strokes._smallest)
    for levels in (1, 3, 50):
        values = rng.integers(0, levels, (9, 7)).astype(np.float32) * np.float32(1e-3)
        for count in range(64):
            expected = np.zeros(63, bool)
            expected[np.argsort(values.reshape(-1), kind="stable")[:count]] = True
            np.testing.assert_array_equal(np.reshape(smallest(values, jnp.int32(count)), -1), expected)


def test_double_precision_draws_the_same_hole(x64):
    double = jax.jit(lambda key: draw(key, (40, 24), 0.21))(random.key(3))
    with jax.enable_x64(False):
        single = jax.jit(lambda key: draw(key, (40, 24), 0.21))(random.key(3))
    assert double.dtype == jnp.float32
    np.testing.assert_array_equal(np.asarray(double), np.asarray(single))


def test_holes_are_strokes_and_not_blobs():
    ratios = np.repeat([0.02, 0.1, 0.25, 0.55], 50)
    drawn = holes((64, 64), ratios)
    # Radius of the largest disc inside each hole, compared with a disc of the same area as the hole.
    radius = np.array([ndimage.distance_transform_edt(np.pad(hole, 1)).max() for hole in drawn])
    blob = 64 * np.sqrt(ratios / np.pi)
    assert (radius < 0.75 * blob).all()
    for ratio, share in ((0.1, 0.5), (0.25, 0.4), (0.55, 0.4)):
        assert np.median((radius / blob)[ratios == ratio]) < share
    parts = np.array([ndimage.label(hole, np.ones((3, 3)))[1] for hole in drawn])
    assert (parts[ratios == 0.02] <= 3).all() and parts.max() < 15
    touches = np.array([np.pad(hole[1:-1, 1:-1], 1).sum() < hole.sum() for hole in drawn])
    assert 0 < touches[ratios == 0.02].mean() < 0.8 and touches[ratios == 0.55].mean() > 0.9


def test_holes_cover_all_positions():
    """The share of holes that cover a block of 8 x 8 pixels is about the ratio, and no two holes are equal."""
    drawn = holes((64, 64), np.full(1000, 0.3), seed=1)
    coverage = drawn.reshape(1000, 8, 8, 8, 8).mean((0, 2, 4))
    assert coverage.min() > 0.22 and coverage.max() < 0.38
    assert len({hole.tobytes() for hole in drawn}) == 1000
