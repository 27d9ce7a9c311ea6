"""Blending: the exact solution, unchanged pixels outside the hole, and no seam where the fill has an offset."""

import numpy as np
import pytest
from scipy import ndimage

from mai_jax.cli.inpaint import BLENDS
from mai_jax.errors import InputError
from mai_jax.inference import blending
from mai_jax.inference.blending import blend

RNG = np.random.default_rng(0)


def shapes(h, w):
    """Return holes of many shapes: one pixel, along every border, thin, with an island, and random."""
    holes = {name: np.zeros((h, w), bool) for name in ("pixel", "corner", "frame", "thin", "ring", "random", "but one")}
    holes["pixel"][h // 2, w // 2] = holes["corner"][: h // 2, : w // 3] = True
    holes["frame"][[0, -1]] = holes["frame"][:, [0, -1]] = holes["thin"][h // 2] = True
    holes["ring"][h // 4 : -h // 4, w // 4 : -w // 4] = True
    holes["ring"][h // 2, w // 2] = False
    holes["random"] = RNG.random((h, w)) < 0.7
    holes["but one"] = ~holes["pixel"]
    return holes


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (17, 23), (40, 31)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_offset_of_the_whole_fill_disappears_and_nothing_outside_changes(shape, dtype):
    """A fill that differs from a smooth photograph by a constant becomes the photograph."""
    unit = np.iinfo(dtype).max // 255
    image = np.full((*shape, 3), 120 * unit, dtype)
    for name, hole in shapes(*shape).items():
        if hole.all():
            continue
        filled = np.where(hole[..., None], image - np.array([20 * unit, -30 * unit, 0], np.int64).astype(dtype), image)
        before = filled.copy()
        np.testing.assert_array_equal(blend(image, hole, filled), image, err_msg=name)
        np.testing.assert_array_equal(filled, before)
        noise = RNG.integers(0, 256 * unit, image.shape).astype(dtype)
        filled = np.where(hole[..., None], noise, image)
        np.testing.assert_array_equal(blend(image, hole, filled)[~hole], image[~hole], err_msg=name)
        assert blend(image, hole, filled, "none") is filled


def test_an_empty_and_a_full_hole_change_nothing():
    image, filled = RNG.integers(0, 256, (2, 8, 9, 3), np.uint8)
    for hole in (np.zeros((8, 9), bool), np.ones((8, 9), bool)):
        np.testing.assert_array_equal(blend(image, hole, filled), filled)


def reference(image, hole, filled):
    """Return the solution of the same equations on whole arrays, without smoothing along the border."""
    neighbours = lambda values: [np.roll(values, s, a)[1:-1, 1:-1] for a in (0, 1) for s in (1, -1)]  # noqa: E731
    pad = lambda values: np.pad(values, ((1, 1), (1, 1)) + ((0, 0),) * (values.ndim - 2))  # noqa: E731
    is_hole = pad(hole)
    count = sum(neighbours(is_hole.astype(int)))
    mean = sum(neighbours(pad(np.where(hole[..., None], filled, 0.0)))) / np.maximum(count, 1)[..., None]
    offsets = np.where((~hole & (count > 0))[..., None], image - mean, 0)
    number = pad(np.where(hole, np.cumsum(hole).reshape(hole.shape), 0))
    inside = number[1:-1, 1:-1][hole] - 1
    exists = neighbours(pad(np.ones(hole.shape, bool)))
    matrix = np.zeros((len(inside), len(inside)))
    known = np.zeros((len(inside), 3))
    for other, there, value in zip(neighbours(number), exists, neighbours(pad(offsets)), strict=True):
        matrix[inside, inside] += there[hole]
        rows = other[hole] > 0
        matrix[inside[rows], other[hole][rows] - 1] -= 1
        known[~rows] += value[hole][~rows] * there[hole][~rows][:, None]
    result = filled.astype(float)
    result[hole] += np.linalg.solve(matrix, known)
    return result.clip(0, 255)


@pytest.mark.parametrize("few", [1_000_000, 30])
def test_the_equations_are_solved(monkeypatch, few):
    """Directly up to rounding, at several scales nearly so."""
    monkeypatch.setattr(blending, "SMOOTHING", 0)
    monkeypatch.setattr(blending, "FEW", few)
    smooth = ndimage.gaussian_filter(RNG.random((30, 34, 3)) * 255, (3, 3, 0))
    image = smooth.astype(np.uint8)
    for name, hole in shapes(30, 34).items():
        filled = np.where(hole[..., None], (smooth * 0.7 + RNG.integers(0, 20, image.shape)).astype(np.uint8), image)
        difference = np.abs(blend(image, hole, filled) - reference(image, hole, filled))
        assert difference.max() <= (0.5001 if few > 30 else 3), name


def test_texture_at_the_border_is_not_smeared_into_the_hole():
    image = np.full((60, 60, 3), 128, np.uint8) + RNG.integers(-40, 41, (60, 60, 1)).astype(np.uint8)
    hole = np.zeros((60, 60), bool)
    hole[20:40, 20:40] = True
    filled = np.where(hole[..., None], np.uint8(128), image)
    change = blend(image, hole, filled)[hole].astype(int) - 128
    assert np.abs(change).max() < 20 and np.abs(change.mean()) < 4


def test_the_modes_are_those_of_the_command():
    assert blending.BLENDS == BLENDS and BLENDS[0] == blending.DEFAULT
    image = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(InputError, match="blend='poisson': must be gradient or none"):
        blend(image, np.eye(4, dtype=bool), image, "poisson")
