"""Push-pull interpolation keeps valid pixels, reads nothing in the hole, and fills smoothly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax.nn.push_pull import push_pull

LEVELS = 4
fill = jax.jit(push_pull, static_argnums=2)


def draw(size=(32, 48)) -> tuple[np.ndarray, np.ndarray]:
    """A smooth image and a `valid` with a large hole."""
    y, x = np.mgrid[: size[0], : size[1]] / 32
    image = np.stack([0.2 + 0.3 * y, 0.8 - 0.2 * x, 0.5 + 0.1 * x * y], -1)[None].astype(np.float32)
    valid = np.ones((1, *size, 1), np.float32)
    valid[:, 8:20, 10:30] = 0
    return image, valid


def test_valid_pixels_are_kept_and_smooth_images_are_recovered():
    image, valid = draw()
    filled = np.asarray(fill(image, valid, LEVELS))
    np.testing.assert_array_equal(np.where(valid > 0, filled, 0), np.where(valid > 0, image, 0))
    assert np.abs(filled - image).max() < 0.08  # the mean colour is off by up to 0.25
    assert np.abs(np.diff(filled, axis=2)).max() < 0.06


@pytest.mark.parametrize("hidden", [1e30, np.nan])
def test_the_hole_is_not_read(hidden):
    image, valid = draw()
    poisoned = np.where(valid > 0, image, np.float32(hidden))
    np.testing.assert_array_equal(fill(image, valid, LEVELS), fill(poisoned, valid, LEVELS))


def test_a_constant_image_stays_constant():
    _, valid = draw()
    image = np.full((1, 32, 48, 3), 0.3, np.float32)
    np.testing.assert_allclose(fill(image, valid, LEVELS), image, rtol=1e-6)


def test_without_a_valid_pixel_the_fill_is_grey():
    image, valid = draw()
    np.testing.assert_array_equal(fill(image, 0 * valid, LEVELS), np.full_like(image, 0.5))


def test_the_coarsest_scale_takes_the_mean():
    image, valid = draw((16, 16))
    valid[:] = 0
    valid[0, 0, 0] = valid[0, 15, 15] = 1
    filled = np.asarray(fill(image, valid, 0))
    mean = (image[0, 0, 0] + image[0, 15, 15]) / 2
    np.testing.assert_allclose(filled[0, 5, 5], mean, rtol=1e-6)


def test_gradients_are_finite():
    image, valid = map(jnp.asarray, draw((16, 16)))
    for mask in (valid, 0 * valid):
        gradient = jax.grad(lambda x, mask=mask: jnp.sum(push_pull(x, mask, LEVELS) ** 2))(image)
        assert np.isfinite(gradient).all()
