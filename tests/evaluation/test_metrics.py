"""PSNR, SSIM and l1 against scikit-image and NumPy, and the laws that they obey."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from mai_jax.evaluation import metrics


def photographs():
    """Crops of different brightness and texture, in uint8 levels."""
    whole = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    return np.stack([image[60:124, 100:196] for image in whole]) / 255


def noisy(images, strength, seed=0):
    noise = np.random.default_rng(seed).normal(scale=strength, size=images.shape)
    return np.round(np.clip(images + noise, 0, 1) * 255) / 255


def flat():
    """Flat and bright, where E[x^2] - E[x]^2 cancels most; one of them with a black half."""
    images = np.ones((3, 64, 96, 3)) * np.array([1, 0.98, 1]).reshape(3, 1, 1, 1)
    images[2, :, :48] = 0
    return images


def reference(a, b):
    psnr = [peak_signal_noise_ratio(x, y, data_range=1) for x, y in zip(a, b, strict=True)]
    ssim = [structural_similarity(x, y, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1,
                                  channel_axis=-1) for x, y in zip(a, b, strict=True)]
    return {"psnr": psnr, "ssim": ssim, "l1": np.abs(a - b).mean(axis=(1, 2, 3))}


@pytest.mark.parametrize("draw", [photographs, flat])
def test_agrees_with_scikit_image(draw, x64):
    a = draw()
    b = noisy(a, 0.05)
    for name, expected in reference(a, b).items():
        got = getattr(metrics, name)(jnp.asarray(a), jnp.asarray(b))
        assert got.dtype == jnp.float64
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("draw", [photographs, flat])
@pytest.mark.parametrize("strength", [0.002, 0.05, 0.3])
def test_float32_is_as_good(draw, strength):
    a = draw()
    b = noisy(a, strength)
    for name, expected in reference(a, b).items():
        got = getattr(metrics, name)(np.float32(a), np.float32(b))
        assert got.dtype == jnp.float32
        # Four decimals of SSIM are printed. Without centring, the flat images miss by 1e-5.
        np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5 if name == "psnr" else 2e-6)


def test_an_image_is_like_itself():
    a = np.float32(photographs())
    assert np.all(metrics.psnr(a, a) == np.inf)
    assert np.all(metrics.ssim(a, a) == 1)
    assert np.all(metrics.l1(a, a) == 0)


@pytest.mark.parametrize("name", ["psnr", "ssim", "l1"])
def test_symmetric_monotone_and_per_image(name):
    metric = getattr(metrics, name)
    a = np.float32(photographs())
    rising = [np.asarray(metric(a, np.float32(noisy(a, strength)))) for strength in (0.01, 0.03, 0.1, 0.3)]
    sign = 1 if name == "l1" else -1
    assert np.all(sign * np.diff(rising, axis=0) > 0)

    b = np.float32(noisy(a, 0.1))
    assert np.array_equal(metric(a, b), metric(b, a))
    b[1:] = a[1:]
    changed = np.asarray(metric(a, b))
    assert changed[0] != changed[1] and np.array_equal(changed[1:], metric(a[1:], a[1:]))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_widened_first(dtype):
    a, b = (jnp.asarray(x, dtype) for x in (photographs(), noisy(photographs(), 0.05)))
    for metric in (metrics.psnr, metrics.ssim, metrics.l1):
        got = jax.jit(metric)(a, b)
        assert got.dtype == jnp.float32
        assert np.array_equal(got, metric(a.astype(jnp.float32), b.astype(jnp.float32)))


def test_ssim_needs_room_for_its_window():
    assert metrics.ssim(np.zeros((1, 11, 11, 3), np.float32), np.zeros((1, 11, 11, 3), np.float32)) == 1
    with pytest.raises(ValueError, match="at least 11 x 11 pixels, these have 20 x 10"):
        metrics.ssim(np.zeros((1, 20, 10, 3), np.float32), np.zeros((1, 20, 10, 3), np.float32))
