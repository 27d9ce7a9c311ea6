"""Rounding to 8 bits, and the layout of pictures with several columns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax.batch import Batch
from mai_jax.visualize import BACKGROUND, GAP, TILE, show_hole, side_by_side, to_uint8


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, jnp.bfloat16])
def test_to_uint8_clips_and_rounds_halves_up(dtype):
    x = np.array([-1e4, -0.1, 0, 0.3, 0.5, 1, 1.1, np.inf]).astype(dtype)
    # 0.3 is 76.5 levels; the half-size types hold 0.30005 (76.51) and 0.30078 (76.7)
    assert to_uint8(x).tolist() == [0, 0, 0, 77, 128, 255, 255, 255]


def test_to_uint8_returns_every_level_in_both_libraries():
    levels = np.arange(256, dtype=np.uint8)
    x = levels.astype(np.float32) / 255
    assert isinstance(to_uint8(x), np.ndarray)
    for offset in (-0.49, 0, 0.49):
        assert np.array_equal(to_uint8(x + np.float32(offset / 255)), levels)
        result = jax.jit(to_uint8)(jnp.asarray(x) + offset / 255)
        assert isinstance(result, jax.Array) and np.array_equal(result, levels)


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16])
def test_to_uint8_widens_half_precision_first(dtype):
    x = np.linspace(0, 1, 5000).astype(dtype)
    assert np.array_equal(to_uint8(x), to_uint8(x.astype(np.float64)))
    assert np.array_equal(to_uint8(jnp.asarray(x)), to_uint8(x))


def test_show_hole_is_white_in_the_hole_only():
    image = jnp.full((1, 4, 4, 3), 0.25).at[:, 0].set(jnp.nan)
    valid = jnp.ones((1, 4, 4, 1)).at[:, 0].set(0)
    assert np.all(show_hole(Batch(image, valid))[:, 0] == 1)
    assert np.all(show_hole(Batch(image, valid))[:, 1:] == 0.25)


@pytest.mark.parametrize(("size", "factor"), [((64, 64), 3), ((100, 130), 2), ((256, 200), 1)])
def test_side_by_side_places_photographs_in_rows_and_columns(size, factor):
    images = np.random.default_rng(0).random((2, 3, *size, 3), np.float32)
    page = np.asarray(side_by_side({"input": images[0], "truth": images[1]}))
    height, width = size[0] * factor, size[1] * factor
    assert page.shape[1] == 2 * width + 3 * GAP
    top = page.shape[0] - 3 * (height + GAP)
    for column in range(2):
        for row in range(3):
            y, x = top + row * (height + GAP), GAP + column * (width + GAP)
            tile = page[y:y + height, x:x + width]
            assert np.array_equal(tile[factor // 2::factor, factor // 2::factor], to_uint8(images[column, row]))
    assert np.any(page[:top] != BACKGROUND)  # titles


def test_captions_are_beside_their_row_and_fit_into_the_picture():
    images = {"truth": np.ones((2, 64, 64, 3), np.float32)}
    plain = np.asarray(side_by_side(images))
    page = np.asarray(side_by_side(images, ["a/very/long/path/to/some/photograph/or/other.jpg\n20% hole", "b"]))
    gutter = page.shape[1] - plain.shape[1]
    assert TILE / 2 < gutter <= TILE + GAP
    assert np.array_equal(page[:, gutter:], plain)
    written = np.any(page != BACKGROUND, axis=2)
    assert not written[:, :GAP // 2].any() and written[plain.shape[0] - 64 * 3:, GAP:gutter].any()
    assert np.array_equal(side_by_side(images, ["short", "b"]).crop((0, 0, 1, 1)), [[BACKGROUND]])


def test_columns_of_different_shapes_are_an_error():
    one, two = np.ones((1, 64, 64, 3), np.float32), np.ones((2, 64, 64, 3), np.float32)
    with pytest.raises(ValueError, match="not of one shape"):
        side_by_side({"input": two}, ["only one"])
    with pytest.raises(Exception, match=r"not of one shape|type"):  # from the annotation, if annotations are checked
        side_by_side({"input": one, "truth": two})
