"""Edges equal scikit-image's, pixel for pixel; the hole is not read; hysteresis follows a long weak edge to its end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import data
from skimage.color import rgb2gray
from skimage.feature import canny as oracle

from mai_jax.nn.canny import canny, to_grey

SIGMA, SIZE = 2.0, 256


def photographs() -> np.ndarray:
    photos = data.astronaut(), data.coffee(), data.chelsea()
    return np.stack([photo[20 : 20 + SIZE, 60 : 60 + SIZE] / 255 for photo in photos])


def random_valid(seed: int) -> np.ndarray:
    """Return holes: squares, single pixels, and one that touches the border."""
    rng = np.random.default_rng(seed)
    valid = np.kron(rng.random((3, 16, 16)) > 0.3, np.ones((16, 16))) * (rng.random((3, SIZE, SIZE)) > 0.005)
    valid[:, :40, :50] = 0
    return valid[..., None]


def edges_by_oracle(grey: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    masks = [None] * len(grey) if valid is None else valid[..., 0] > 0
    return np.stack([oracle(g[..., 0], sigma=SIGMA, mask=m) for g, m in zip(grey, masks, strict=True)])[..., None]


@pytest.mark.parametrize("valid", [None, random_valid(0), np.zeros((3, SIZE, SIZE, 1))],
                         ids=["whole", "holes", "nothing"])
def test_equals_scikit_image_pixel_for_pixel(x64, valid):
    image = photographs()
    grey = to_grey(jnp.asarray(image))
    np.testing.assert_allclose(grey[..., 0], rgb2gray(image), rtol=1e-14)
    found = canny(grey, SIGMA, None if valid is None else jnp.asarray(valid))
    assert found.dtype == grey.dtype
    expected = edges_by_oracle(np.asarray(grey), valid)
    assert expected.mean() > 0.02 or (valid is not None and not valid.any())
    np.testing.assert_array_equal(found, expected)


def test_float32_differs_in_few_pixels():
    valid = random_valid(1)
    grey = to_grey(jnp.asarray(photographs(), jnp.float32))
    found = canny(grey, SIGMA, jnp.asarray(valid, jnp.float32))
    assert found.dtype == jnp.float32
    assert np.mean(found == edges_by_oracle(np.asarray(grey, np.float64), valid)) > 0.999


def test_the_hole_is_not_read():
    valid = jnp.asarray(random_valid(2)[:, :64, :80], jnp.float32)
    grey = to_grey(jnp.asarray(photographs()[:, :64, :80], jnp.float32))
    clean, *poisoned = (canny(jnp.where(valid > 0, grey, hidden), SIGMA, valid) for hidden in (0.5, 1e30, jnp.nan))
    assert clean.any()
    for edges in poisoned:
        np.testing.assert_array_equal(clean, edges)


def test_a_weak_edge_is_followed_to_its_end(x64):
    """A spiral that is strong at its outer end only: hysteresis has to follow all of it."""
    y, x = np.mgrid[:96, :96] - 47.5
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    stripe = np.cos(radius * 0.6 - angle)  # one arm
    image = (0.5 + np.where(radius > 42, 0.4, 0.05) * np.tanh(4 * stripe))[None, ..., None]
    expected = edges_by_oracle(image, None)
    np.testing.assert_array_equal(canny(jnp.asarray(image), SIGMA), expected)
    strong_only = np.hypot(x, y) > 36
    assert expected[0, ..., 0][~strong_only].sum() > 300


def test_images_do_not_mix_under_vmap(x64):
    grey = to_grey(jnp.asarray(photographs()[:, :64, :64]))
    one_by_one = jax.jit(jax.vmap(lambda g: canny(g[None], SIGMA)[0]))(grey)
    np.testing.assert_array_equal(one_by_one, canny(grey, SIGMA))
