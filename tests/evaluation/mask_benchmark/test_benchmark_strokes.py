"""Strokes of the mask benchmark: exact counts, the border, and reproducible pixels."""

from hashlib import sha256

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mai_jax.data import strokes
from mai_jax.evaluation.mask_benchmark.strokes import VERSION, draw


@st.composite
def sizes(draw_from):
    """Generate (size, margin, pixels), up to a hole of all pixels inside the margin."""
    size = draw_from(st.integers(16, 80))
    margin = draw_from(st.integers(0, size // 5))
    return size, margin, draw_from(st.integers(1, (size - 2 * margin) ** 2))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(sizes(), st.integers(0, 1000))
def test_count_margin_and_border_are_exact(parameters, number):
    size, margin, pixels = parameters
    hole = draw(f"hole {number}", size, pixels, margin)
    assert hole.shape == (size, size) and np.count_nonzero(hole) == pixels
    inside = hole[margin:size - margin, margin:size - margin]
    assert np.count_nonzero(inside) == pixels
    if margin == 0:
        assert np.concatenate([hole[0], hole[-1], hole[:, 0], hole[:, -1]]).any()


def test_the_name_determines_the_hole():
    a, again, b = (draw(name, 64, 800, 0) for name in ("a", "a", "b"))
    np.testing.assert_array_equal(a, again)
    assert np.mean(a != b) > 0.1


def test_too_many_pixels_are_an_error():
    assert draw("full", 20, 100, 5)[5:15, 5:15].all()
    for pixels in (0, 101):
        with pytest.raises(ValueError, match=f"no hole of {pixels} pixels fits into 20 x 20 with a margin of 5"):
            draw("none", 20, pixels, 5)


def test_strokes_resemble_those_of_training():
    """Compares the outline length per hole pixel, which is a quarter for a disc and seven times as much for noise."""
    def outline(hole):
        return (np.count_nonzero(hole[1:] != hole[:-1]) + np.count_nonzero(hole[:, 1:] != hole[:, :-1])) / hole.sum()

    draw_four = jax.jit(jax.vmap(strokes.draw, (0, None, None)), static_argnums=1)
    for ratio in (0.05, 0.25, 0.45):
        training = draw_four(jax.random.split(jax.random.key(0), 4), (128, 128), ratio)
        expected = np.mean([outline(np.asarray(valid)[..., 0] == 0) for valid in training])
        found = np.mean([outline(draw(f"{i}", 128, round(ratio * 128**2), 0)) for i in range(4)])
        assert 0.75 < found / expected < 1.35, ratio


def test_golden():
    """Published sets depend on every pixel. If this must change, increase VERSION."""
    holes = [draw(f"{margin} {pixels}", 256, pixels, margin) for margin in (0, 25) for pixels in (1000, 13000, 39000)]
    found = sha256(np.packbits(holes).tobytes()).hexdigest()
    assert (VERSION, found) == (1, "4c4b2d07aa37c84ac61c3ee232dfd635b02284cb1cefad7540ac973e4cdc4e70")
