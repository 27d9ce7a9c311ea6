"""PSNR, SSIM and l1 against scikit-image and NumPy, and their mathematical properties."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import correlate1d
from skimage import data
from skimage.color import rgb2gray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from mai_jax import metrics
from mai_jax.errors import InputError


def photographs():
    """Return crops of different brightness and texture, with uint8 precision."""
    whole = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    return np.stack([image[60:124, 100:196] for image in whole]) / 255


def noisy(images, strength, seed=0):
    noise = np.random.default_rng(seed).normal(scale=strength, size=images.shape)
    return np.round(np.clip(images + noise, 0, 1) * 255) / 255


def flat():
    """Return flat bright images, for which E[x^2] - E[x]^2 loses most digits; one has a black half."""
    images = np.ones((3, 64, 96, 3)) * np.array([1, 0.98, 1]).reshape(3, 1, 1, 1)
    images[2, :, :48] = 0
    return images


def similarity(a, b, **options):
    return [structural_similarity(x, y, data_range=1, channel_axis=-1, **options) for x, y in zip(a, b, strict=True)]


def padded_similarity(a, b):
    """Return the SSIM by its definition, with zero padding."""
    weights = np.exp(-np.arange(-5, 6) ** 2 / (2 * 1.5**2))

    def mean(x):
        down = correlate1d(x, weights / weights.sum(), axis=1, mode="constant")
        return correlate1d(down, weights / weights.sum(), axis=2, mode="constant")

    var_a, var_b, cov = mean(a * a) - mean(a) ** 2, mean(b * b) - mean(b) ** 2, mean(a * b) - mean(a) * mean(b)
    top = (2 * mean(a) * mean(b) + 0.01**2) * (2 * cov + 0.03**2)
    return (top / ((mean(a) ** 2 + mean(b) ** 2 + 0.01**2) * (var_a + var_b + 0.03**2))).mean(axis=(1, 2, 3))


def reference(a, b):
    psnr = [peak_signal_noise_ratio(x, y, data_range=1) for x, y in zip(a, b, strict=True)]
    return {
        "psnr": psnr,
        "l1": np.abs(a - b).mean(axis=(1, 2, 3)),
        "relative_l1": np.abs(a - b).sum(axis=(1, 2, 3)) / (a + b).sum(axis=(1, 2, 3)),
        "ssim": similarity(a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False),
        "ssim_padded": padded_similarity(a, b),
        "ssim_7": similarity(a, b),
        "ssim_51": similarity(a, b, win_size=51),
    }


def metric_of(name):
    if name in ("ssim_7", "ssim_51"):
        return partial(metrics.ssim_uniform, size=int(name.removeprefix("ssim_")))
    return getattr(metrics, name)


@pytest.mark.parametrize("images", [photographs, flat])
def test_agrees_with_scikit_image(images, x64):
    a = images()
    b = noisy(a, 0.05)
    for name, expected in reference(a, b).items():
        got = metric_of(name)(jnp.asarray(a), jnp.asarray(b))
        assert got.dtype == jnp.float64
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("images", [photographs, flat])
@pytest.mark.parametrize("strength", [0.002, 0.05, 0.3])
def test_float32_is_accurate(images, strength):
    a = images()
    b = noisy(a, strength)
    for name, expected in reference(a, b).items():
        got = metric_of(name)(np.float32(a), np.float32(b))
        assert got.dtype == jnp.float32
        # Tables show four decimals of SSIM. Without centring, the error of flat images is 1e-5, for size 51 2e-4.
        tolerance = {"psnr": 2e-5, "ssim_7": 1e-5, "ssim_51": 1e-5}.get(name, 2e-6)
        np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)


def test_identical_images_have_the_best_values():
    a = np.float32(photographs())
    best = {"psnr": np.inf, "l1": 0, "relative_l1": 0, "ssim": 1, "ssim_padded": 1, "ssim_7": 1, "ssim_51": 1}
    for name, value in best.items():
        assert np.all(metric_of(name)(a, a) == value)
    assert np.all(metrics.relative_l1(0 * a, 0 * a) == 0)


@pytest.mark.parametrize("name", ["psnr", "l1", "relative_l1", "ssim", "ssim_padded", "ssim_7", "ssim_51"])
def test_symmetric_monotone_and_per_image(name):
    metric = metric_of(name)
    a = np.float32(photographs())
    rising = [np.asarray(metric(a, np.float32(noisy(a, strength)))) for strength in (0.01, 0.03, 0.1, 0.3)]
    sign = 1 if name.endswith("l1") else -1
    assert np.all(sign * np.diff(rising, axis=0) > 0)

    b = np.float32(noisy(a, 0.1))
    assert np.array_equal(metric(a, b), metric(b, a))
    b[1:] = a[1:]
    changed = np.asarray(metric(a, b))
    assert changed[0] != changed[1] and np.array_equal(changed[1:], metric(a[1:], a[1:]))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_converted_to_float32(dtype):
    a, b = (jnp.asarray(x, dtype) for x in (photographs(), noisy(photographs(), 0.05)))
    for metric in (metrics.psnr, metrics.ssim, metrics.l1):
        got = jax.jit(metric)(a, b)
        assert got.dtype == jnp.float32
        assert np.array_equal(got, metric(a.astype(jnp.float32), b.astype(jnp.float32)))


def test_metrics_of_the_hole(x64):
    a = photographs()
    b = noisy(a, 0.05)
    hole = np.random.default_rng(0).random(a.shape[:3]) < np.reshape([0.02, 0.3, 0.9, 1], (4, 1, 1))
    inside = [(x[where], y[where]) for x, y, where in zip(a, b, hole, strict=True)]
    psnr = [peak_signal_noise_ratio(x, y, data_range=1) for x, y in inside]
    np.testing.assert_allclose(metrics.hole_psnr(a, b, hole), psnr, rtol=1e-12)
    np.testing.assert_allclose(metrics.hole_l1(a, b, hole), [np.abs(x - y).mean() for x, y in inside], rtol=1e-12)
    assert np.all(metrics.hole_psnr(a, b, 0 * hole > 0) == np.inf) and np.all(metrics.hole_l1(a, b, 0 * hole > 0) == 0)


def test_padded_ssim_of_an_image_smaller_than_the_window(x64):
    a = photographs()[:, :6, :20]
    b = noisy(a, 0.05)
    np.testing.assert_allclose(metrics.ssim_padded(a, b), padded_similarity(a, b), rtol=0, atol=1e-10)


def test_grey_agrees_with_scikit_image(x64):
    a = photographs()
    np.testing.assert_allclose(metrics.grey(a)[..., 0], rgb2gray(a), rtol=0, atol=1e-12)


def test_levels_have_the_metrics_of_their_fractions():
    a, b = (np.uint8(x * 255 + 0.5) for x in (photographs(), noisy(photographs(), 0.05)))
    expected = reference(a / 255, b / 255)
    hole = np.random.default_rng(0).random(a.shape[:3]) < 0.3
    for name in expected:
        tolerance = {"psnr": 2e-5, "ssim_7": 1e-5, "ssim_51": 1e-5}.get(name, 2e-6)
        np.testing.assert_allclose(metric_of(name)(a, b), expected[name], rtol=0, atol=tolerance)
    for metric in (metrics.hole_psnr, metrics.hole_l1):
        np.testing.assert_allclose(metric(a, b, hole), metric(a / 255, b / 255, hole), rtol=1e-5)


def test_grey_levels_are_exact_and_their_metrics_those_of_grey_fractions():
    a, b = (np.uint8(x * 255 + 0.5) for x in (photographs(), noisy(photographs(), 0.05)))
    levels = [np.asarray(metrics.grey(x)) for x in (a, b)]
    np.testing.assert_array_equal(levels[0][..., 0], np.round(rgb2gray(a / 255) * 2_550_000))
    greys = [rgb2gray(x / 255)[..., None] for x in (a, b)]
    for metric in (metrics.psnr, metrics.l1, metrics.relative_l1):
        np.testing.assert_allclose(metric(*levels), metric(*greys), rtol=1e-5)


def test_ssim_of_an_image_smaller_than_the_window_is_an_error():
    assert metrics.ssim(np.zeros((1, 11, 11, 3), np.float32), np.zeros((1, 11, 11, 3), np.float32)) == 1
    with pytest.raises(InputError, match="at least 11 x 11, these have 20 x 10"):
        metrics.ssim(np.zeros((1, 20, 10, 3), np.float32), np.zeros((1, 20, 10, 3), np.float32))
