"""PSNR, SSIM and mean l1 (section 5.2), each one number per image.

Every function takes two batches of images in [0, 1], of any float type, and computes in float32, or in float64 where an
argument is float64. A protocol (composite, round to uint8 levels, colours or grey) is chosen by what is passed in.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Images = Float[Array | np.ndarray, "b h w c"]

WINDOW = 11  # pixels; this and the three constants below are those of the SSIM article (Wang et al. 2004)
SIGMA = 1.5
K1, K2 = 0.01, 0.03


@jax.jit
def psnr(a: Images, b: Images) -> Float[Array, "b"]:
    """Peak signal-to-noise ratio in dB, with the range 1 that is 255 in uint8; +inf for identical images."""
    a, b = _at_least_float32(a, b)
    return -10 * jnp.log10(jnp.mean(jnp.square(a - b), axis=(1, 2, 3)))


@jax.jit
def l1(a: Images, b: Images) -> Float[Array, "b"]:
    """Mean absolute difference over pixels and channels, as a fraction of the range."""
    a, b = _at_least_float32(a, b)
    return jnp.mean(jnp.abs(a - b), axis=(1, 2, 3))


@jax.jit
def ssim(a: Images, b: Images) -> Float[Array, "b"]:
    """Structural similarity in [-1, 1]: Gaussian window, population moments, mean over channels and over the windows
    that lie inside the image. Raises ValueError for images smaller than the window.
    """
    height, width = a.shape[1:3]
    if min(height, width) < WINDOW:
        raise ValueError(f"SSIM needs images of at least {WINDOW} x {WINDOW} pixels, these have {height} x {width}")
    planes = [x.transpose(0, 3, 1, 2) for x in _at_least_float32(a, b)]
    # One image at a time stays in the cache of a CPU: twice as fast there as the batch at once.
    return jax.lax.map(lambda pair: _ssim_of_one(*pair), planes)


def _ssim_of_one(a: Float[Array, "c h w"], b: Float[Array, "c h w"]) -> Float[Array, ""]:
    """With s = a + b and d = a - b the formula takes four blurs instead of five, and identical images give exactly 1:
        2 mean_a mean_b     = (mean_s^2 - mean_d^2) / 2        2 cov_ab      = (var_s - var_d) / 2
        mean_a^2 + mean_b^2 = (mean_s^2 + mean_d^2) / 2        var_a + var_b = (var_s + var_d) / 2
    """
    mean_s, var_s = _moments(a + b)
    mean_d, var_d = _moments(a - b)
    c1, c2 = 2 * K1**2, 2 * K2**2
    luminance = (mean_s**2 - mean_d**2 + c1) / (mean_s**2 + mean_d**2 + c1)
    structure = (var_s - var_d + c2) / (var_s + var_d + c2)
    return jnp.mean(luminance * structure)


def _moments(x: Float[Array, "c h w"]) -> tuple[Float[Array, "c y x"], Float[Array, "c y x"]]:
    """Weighted mean and variance of every window."""
    # E[x^2] - E[x]^2 cancels less the nearer x is to zero, and a shift does not change a variance.
    centre = jnp.mean(x, axis=(1, 2), keepdims=True)
    x = x - centre
    mean = _blur(x)
    return mean + centre, _blur(x * x) - mean * mean


def _blur(x: Float[Array, "c h w"]) -> Float[Array, "c y x"]:
    """The Gaussian mean of every window, as two products with banded matrices.

    On a CPU XLA's depthwise convolution takes ten times as long, and a sum of shifted copies three times.
    """
    rows, columns = (_band(size, x.dtype) for size in x.shape[1:])
    with jax.default_matmul_precision("highest"):  # accelerators otherwise round the factors to 8 or 10 bits
        return jnp.matmul(jnp.matmul(rows, x), columns.T)


def _band(size: int, dtype: jnp.dtype) -> Float[np.ndarray, "windows size"]:
    """Row i holds the weights of the window that starts at pixel i."""
    place = np.arange(size) - np.arange(size - WINDOW + 1)[:, None]
    weights = np.exp(-0.5 * ((place - WINDOW // 2) / SIGMA) ** 2) * ((place >= 0) & (place < WINDOW))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(dtype)


def _at_least_float32(a: Images, b: Images) -> tuple[Float[Array, "b h w c"], Float[Array, "b h w c"]]:
    a, b = jnp.asarray(a), jnp.asarray(b)
    dtype = jnp.promote_types(jnp.promote_types(a.dtype, b.dtype), jnp.float32)
    return a.astype(dtype), b.astype(dtype)
