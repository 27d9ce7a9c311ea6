"""PSNR, SSIM and l1 (section 5.2) in the forms in use, on the whole image or on its hole, each one number per image.

Every function takes two batches of images in [0, 1], of any float type, and computes in float32, or in float64 where an
argument is float64. What is compared (completed or not, rounded, in grey) is the matter of `protocols`.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from mai_jax.types import InputError

Images = Float[Array | np.ndarray, "b h w c"]
Holes = Bool[Array | np.ndarray, "b h w"]
Metric = Callable[[Images, Images], Float[Array, "b"]]
Window = tuple[float, ...]  # the weights of a separable window along one side; they sum to 1

K1, K2 = 0.01, 0.03  # constants of the SSIM article (Wang et al. 2004), as its Gaussian window of 11 pixels is
LUMINANCE = (0.2125, 0.7154, 0.0721)  # of R, G, B: ITU-R BT.709, as scikit-image's rgb2gray
TILE = 64  # columns that one product with a banded matrix makes: wider ones multiply more zeros


def _gaussian(size: int, sigma: float) -> Window:
    weights = np.exp(-0.5 * ((np.arange(size) - size // 2) / sigma) ** 2)
    return tuple((weights / weights.sum()).tolist())


GAUSSIAN = _gaussian(11, 1.5)


@jax.jit
def psnr(a: Images, b: Images) -> Float[Array, "b"]:
    """Peak signal-to-noise ratio in dB, with the range 1 that is 255 in uint8; +inf for identical images."""
    a, b = _at_least_float32(a, b)
    return _decibel(jnp.mean(jnp.square(a - b), axis=(1, 2, 3)))


@jax.jit
def l1(a: Images, b: Images) -> Float[Array, "b"]:
    """Mean absolute difference over pixels and channels, as a fraction of the range."""
    a, b = _at_least_float32(a, b)
    return jnp.mean(jnp.abs(a - b), axis=(1, 2, 3))


@jax.jit
def relative_l1(a: Images, b: Images) -> Float[Array, "b"]:
    """sum |a - b| / sum (a + b): half of l1 over mean brightness, so dark images weigh more; 0 for two black images."""
    a, b = _at_least_float32(a, b)
    total = jnp.sum(a + b, axis=(1, 2, 3))
    return jnp.sum(jnp.abs(a - b), axis=(1, 2, 3)) / jnp.where(total > 0, total, 1)


@jax.jit
def hole_psnr(a: Images, b: Images, hole: Holes) -> Float[Array, "b"]:
    """`psnr` of the hole's pixels only; +inf where they are identical or none."""
    a, b = _at_least_float32(a, b)
    return _decibel(_hole_mean(jnp.square(a - b), hole))


@jax.jit
def hole_l1(a: Images, b: Images, hole: Holes) -> Float[Array, "b"]:
    """`l1` of the hole's pixels only; 0 where they are identical or none."""
    a, b = _at_least_float32(a, b)
    return _hole_mean(jnp.abs(a - b), hole)


@jax.jit
def choice(a: Images, b: Images) -> Float[Array, "b"]:
    """By which PIC's authors chose one of 50 samples `a` for their table, the smallest: l1 - psnr + total variation.

    l1 and total variation, the mean length of a pixel's differences to its right and lower neighbour (from the last to
    the first), count in levels of 255.
    """
    right, lower = (a - jnp.roll(a, -1, axis) for axis in (2, 1))
    variation = jnp.mean(jnp.sqrt(jnp.square(right) + jnp.square(lower)), axis=(1, 2, 3))
    return 255 * (l1(a, b) + variation) - psnr(a, b)


@jax.jit
def ssim(a: Images, b: Images) -> Float[Array, "b"]:
    """Structural similarity in [-1, 1] as its article has it: Gaussian window, population moments, mean over channels
    and over the windows that lie inside the image. Raises InputError for an image smaller than the window.
    """
    return _similarity(a, b, GAUSSIAN)


@jax.jit
def ssim_padded(a: Images, b: Images) -> Float[Array, "b"]:
    """`ssim` with a window around every pixel, of images that are black beyond their border."""
    return _similarity(a, b, GAUSSIAN, border=len(GAUSSIAN) // 2)


@partial(jax.jit, static_argnames="size")
def ssim_uniform(a: Images, b: Images, *, size: int) -> Float[Array, "b"]:
    """`ssim` with equal weights in a square of n = size^2 pixels and sample moments, which divide by n - 1."""
    return _similarity(a, b, (1 / size,) * size, bessel=size**2 / (size**2 - 1))


@jax.jit
def grey(images: Images) -> Float[Array, "b h w 1"]:
    """The luminance of RGB images, as scikit-image's rgb2gray."""
    images, _ = _at_least_float32(images, images)
    return sum(weight * images[..., i : i + 1] for i, weight in enumerate(LUMINANCE))


def _decibel(squared_error: Float[Array, "b"]) -> Float[Array, "b"]:
    return -10 * jnp.log10(squared_error)


def _hole_mean(x: Float[Array, "b h w c"], hole: Holes) -> Float[Array, "b"]:
    """Mean over the hole's pixels and over channels; 0 without a hole."""
    total = jnp.sum(jnp.where(hole[..., None], x, 0), axis=(1, 2, 3))
    return total / jnp.maximum(jnp.sum(hole, axis=(1, 2)) * x.shape[-1], 1)


def _similarity(a: Images, b: Images, window: Window, border: int = 0, bessel: float = 1.0) -> Float[Array, "b"]:
    """What every SSIM above is: images are black for `border` pixels around, `bessel` multiplies the variances."""
    size, (height, width) = len(window), a.shape[1:3]
    if min(height, width) + 2 * border < size:
        raise InputError(f"SSIM with a window of {size} pixels needs images of at least {size} x {size}, these have "
                         f"{height} x {width} (height x width): use larger images or a protocol with a smaller window")
    planes = [x.transpose(0, 3, 1, 2) for x in _at_least_float32(a, b)]
    # One image at a time stays in the cache of a CPU: three times as fast there as the batch at once.
    return jax.lax.map(lambda pair: _similarity_of_one(*pair, window, border, bessel), planes)


def _similarity_of_one(
    a: Float[Array, "c h w"], b: Float[Array, "c h w"], window: Window, border: int, bessel: float
) -> Float[Array, ""]:
    """With s = a + b and d = a - b the formula takes four blurs instead of five, and identical images give exactly 1:
        2 mean_a mean_b     = (mean_s^2 - mean_d^2) / 2        2 cov_ab      = (var_s - var_d) / 2
        mean_a^2 + mean_b^2 = (mean_s^2 + mean_d^2) / 2        var_a + var_b = (var_s + var_d) / 2
    """
    (mean_s, mean_d), (var_s, var_d) = _moments(jnp.stack([a + b, a - b]), window, border)
    c1, c2 = 2 * K1**2, 2 * K2**2 / bessel  # dividing the constant is multiplying the variances
    luminance = (mean_s**2 - mean_d**2 + c1) / (mean_s**2 + mean_d**2 + c1)
    structure = (var_s - var_d + c2) / (var_s + var_d + c2)
    return jnp.mean(luminance * structure)


def _moments(
    x: Float[Array, "n c h w"], window: Window, border: int
) -> tuple[Float[Array, "n c y x"], Float[Array, "n c y x"]]:
    """Weighted mean and population variance of every window."""
    # E[x^2] - E[x]^2 cancels less the nearer x is to zero, and a shift does not change a variance ...
    centre = jnp.mean(x, axis=(2, 3), keepdims=True)
    shifted = jnp.pad(x - centre, ((0, 0), (0, 0), (border, border), (border, border)))
    mean, square = _blur(jnp.stack([shifted, shifted * shifted]), window)
    variance = square - mean * mean
    if border:
        # ... if the weights sum to 1, which those of the shifted pixels do not where the window leaves the image.
        rows, columns = (np.convolve(np.ones(side), window)[border : border + side] for side in x.shape[2:])
        inside = np.multiply.outer(rows, columns).astype(x.dtype)
        variance += centre * (1 - inside) * (2 * mean + centre * inside)
        centre = centre * inside
    return mean + centre, variance


def _blur(x: Float[Array, "*n h w"], window: Window) -> Float[Array, "*n y x"]:
    """The weighted mean of every window that lies inside.

    Down the columns a sum of shifted copies, along the rows products with a banded matrix, a tile at a time. On a CPU
    this takes a third of the time of two banded matrices as wide as the image, and those a tenth of that of XLA's
    depthwise convolution.
    """
    size = len(window)
    height, width = (side - size + 1 for side in x.shape[-2:])
    down = sum(weight * x[..., i : i + height, :] for i, weight in enumerate(window))
    tiles = [(start, min(TILE, width - start)) for start in range(0, width, TILE)]
    with jax.default_matmul_precision("highest"):  # accelerators otherwise round the factors to 8 or 10 bits
        return jnp.concatenate([
            jnp.matmul(down[..., start : start + columns + size - 1], _band(window, columns, x.dtype))
            for start, columns in tiles
        ], axis=-1)


def _band(window: Window, columns: int, dtype: jnp.dtype) -> Float[np.ndarray, "pixels columns"]:
    """Column i holds the weights of the window that starts at pixel i."""
    band = np.zeros((columns + len(window) - 1, columns), dtype)
    for i in range(columns):
        band[i : i + len(window), i] = window
    return band


def _at_least_float32(a: Images, b: Images) -> tuple[Float[Array, "b h w c"], Float[Array, "b h w c"]]:
    a, b = jnp.asarray(a), jnp.asarray(b)
    dtype = jnp.promote_types(jnp.promote_types(a.dtype, b.dtype), jnp.float32)
    return a.astype(dtype), b.astype(dtype)
