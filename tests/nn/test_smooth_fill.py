"""The smooth fill keeps valid pixels, reads nothing in the hole, and comes close to the biharmonic surface."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax.nn import smooth_fill as smooth_fill_module
from mai_jax.nn.smooth_fill import smooth_fill

LEVELS = 4
fill = jax.jit(smooth_fill, static_argnums=2)


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
    assert np.abs(filled - image).max() < 0.01  # the mean colour is off by up to 0.25


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


def exact(image: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the fill with the smallest sum of squared Laplacians, by least squares on the whole image."""
    h, w = valid.shape
    laplacian = np.zeros((h * w, h * w))
    for y, x in np.ndindex(h, w):
        for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            neighbour = np.clip(y + dy, 0, h - 1) * w + np.clip(x + dx, 0, w - 1)
            laplacian[y * w + x, neighbour] += 1
            laplacian[y * w + x, y * w + x] -= 1
    hole, pixels = valid.reshape(-1) == 0, image.reshape(h * w, 3).copy()
    pixels[hole] = np.linalg.lstsq(laplacian[:, hole], -laplacian[:, ~hole] @ pixels[~hole], rcond=None)[0]
    return pixels.reshape(image.shape)


@pytest.mark.parametrize(("iterations", "at_most"), [(0, 0.12), (smooth_fill_module.ITERATIONS, 0.03), (300, 1e-9)])
def test_iterations_converge_to_the_biharmonic_surface(monkeypatch, x64, iterations, at_most):
    monkeypatch.setattr(smooth_fill_module, "ITERATIONS", iterations)
    rng = np.random.default_rng(0)
    image = np.asarray(jax.image.resize(rng.random((1, 5, 5, 3)), (1, 16, 16, 3), "cubic")).clip(0.2, 0.8)
    valid = np.ones((1, 16, 16, 1))
    valid[0, 3:11, 4:13] = 0
    expected = exact(image[0], valid[0, ..., 0])
    filled = np.asarray(jax.jit(lambda *batch: smooth_fill(*batch, 3))(image, valid))[0]  # traced anew
    error = np.sqrt(np.mean((filled - expected)[valid[0, ..., 0] == 0] ** 2))
    assert at_most / 20 < error < at_most if iterations < 300 else error < at_most


def test_the_fill_has_no_gradient():
    image, valid = map(jnp.asarray, draw((16, 16)))
    gradient = jax.grad(lambda x: jnp.sum(smooth_fill(x, valid, LEVELS) ** 2))(jnp.where(valid > 0, image, jnp.nan))
    np.testing.assert_array_equal(gradient, 0)
