"""Blobs and boxes have exactly the requested ratio and their shape; a run mixes them in the configured shares."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy import ndimage

from mai_jax.config import Holes
from mai_jax.data.hole_sampler import make_hole_sampler
from mai_jax.data.shapes import draw_blob, draw_box

SIZE = 48


def holes(draw, ratios, seed=0):
    keys = random.split(random.key(seed), len(ratios))
    valid = jax.jit(jax.vmap(lambda key, ratio: draw(key, (SIZE, SIZE), ratio)))(keys, jnp.float32(ratios))
    assert valid.shape == (len(ratios), SIZE, SIZE, 1) and set(np.unique(valid)) <= {0.0, 1.0}
    return np.asarray(valid)[..., 0] == 0


def fill_of_bounds(hole):
    """Return the share of its bounding box that a hole fills."""
    (rows, columns), = ndimage.find_objects(hole.astype(int))
    return hole.sum() / ((rows.stop - rows.start) * (columns.stop - columns.start))


@pytest.mark.parametrize("draw", [draw_blob, draw_box])
def test_one_piece_of_exactly_the_ratio(draw):
    ratios = np.linspace(0.01, 0.6, 100, dtype=np.float32)
    drawn = holes(draw, ratios)
    np.testing.assert_array_equal(drawn.sum((1, 2)), np.rint(ratios.astype(np.float64) * SIZE**2))
    assert np.mean([ndimage.label(hole)[1] == 1 for hole in drawn]) > 0.95
    assert len({hole.tobytes() for hole in drawn}) == 100


def test_boxes_are_boxes_and_blobs_are_round():
    ratios = np.full(50, 0.1)
    boxes, blobs = (np.array([fill_of_bounds(hole) for hole in holes(draw, ratios)]) for draw in (draw_box, draw_blob))
    assert np.median(boxes) > 0.9 and np.median(blobs) < 0.8


def test_shares_of_the_kinds():
    def sample(**shares):
        sampler = make_hole_sampler("drawn", Holes(min_ratio=0.1, max_ratio=0.1, **shares), SIZE)
        return np.asarray(jax.jit(sampler.sample, static_argnums=2)(sampler.mask_bank, random.key(1), 200))[..., 0] == 0

    strokes, mixed = sample(), sample(blobs=0.25, boxes=0.5)
    same = (strokes == mixed).all((1, 2))  # the strokes that remain are those of a run without shapes
    assert 0.15 < same.mean() < 0.35
    boxes = np.array([fill_of_bounds(hole) > 0.88 for hole in mixed])
    assert 0.35 < boxes.mean() < 0.6
    np.testing.assert_array_equal(mixed.sum((1, 2)), round(0.1 * SIZE**2))
