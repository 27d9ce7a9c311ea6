"""PSNR, SSIM and l1 (section 5.2) in their common variants, on the whole image or on its hole: one number per image.

Every function takes two batches of images, either floats in [0, 1] or integer levels: uint8, or the int32 of `grey`. It
computes in float32, or in float64 if an argument is float64. `protocols` defines which images are compared (completed
or raw, rounded, RGB or grey).

Levels are subtracted as integers before they are divided by the level of white. XLA contracts a / 255 - b / 255 into
operations whose result is not zero for equal levels, which gives identical images a PSNR of 156 to 168 dB.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, UInt8

from mai_jax.errors import InputError

Levels = UInt8[Array | np.ndarray, "b h w c"] | Int32[Array | np.ndarray, "b h w c"]
Images = Float[Array | np.ndarray, "b h w c"] | Levels
Holes = Bool[Array | np.ndarray, "b h w"]
Metric = Callable[[Images, Images], Float[Array, "b"]]
Window = tuple[float, ...]  # the weights of a separable window along one side; they sum to 1

K1, K2 = 0.01, 0.03  # constants of SSIM (Wang et al. 2004), which also defines the Gaussian window of 11 pixels
LUMINANCE = (2125, 7154, 721)  # of R, G, B, in 1 / 10000: ITU-R BT.709, as in scikit-image's rgb2gray
WHITE = {jnp.dtype(jnp.uint8): 255, jnp.dtype(jnp.int32): 255 * sum(LUMINANCE)}  # the level of white by type
TILE = 64  # columns per product with a banded matrix: wider tiles multiply more zeros


def _gaussian(size: int, sigma: float) -> Window:
    weights = np.exp(-0.5 * ((np.arange(size) - size // 2) / sigma) ** 2)
    return tuple((weights / weights.sum()).tolist())


GAUSSIAN = _gaussian(11, 1.5)


@jax.jit
def psnr(a: Images, b: Images) -> Float[Array, "b"]:
    """Return the peak signal-to-noise ratio in dB for a range of 1 (255 in uint8); +inf for identical images."""
    return _decibel(jnp.mean(jnp.square(_difference(a, b)), axis=(1, 2, 3)))


@jax.jit
def l1(a: Images, b: Images) -> Float[Array, "b"]:
    """Return the mean absolute difference over pixels and channels, as a fraction of the range."""
    return jnp.mean(jnp.abs(_difference(a, b)), axis=(1, 2, 3))


@jax.jit
def relative_l1(a: Images, b: Images) -> Float[Array, "b"]:
    """Return sum |a - b| / sum (a + b), which weights dark images more than `l1`; 0 for two black images."""
    total = jnp.sum(_sum(a, b), axis=(1, 2, 3))
    return jnp.sum(jnp.abs(_difference(a, b)), axis=(1, 2, 3)) / jnp.where(total > 0, total, 1)


@jax.jit
def hole_psnr(a: Images, b: Images, hole: Holes) -> Float[Array, "b"]:
    """Return `psnr` over the hole pixels only; +inf if they are identical or there are none."""
    return _decibel(_hole_mean(jnp.square(_difference(a, b)), hole))


@jax.jit
def hole_l1(a: Images, b: Images, hole: Holes) -> Float[Array, "b"]:
    """Return `l1` over the hole pixels only; 0 if they are identical or there are none."""
    return _hole_mean(jnp.abs(_difference(a, b)), hole)


@jax.jit
def sample_score(a: Images, b: Images) -> Float[Array, "b"]:
    """Return l1 - PSNR + total variation of samples `a` against truths `b`; the best sample has the smallest score.

    PIC's authors select one of 50 samples by this score for their table. l1 and total variation are in levels of 255.
    Total variation is the mean norm of the differences to the right and lower neighbour, with periodic borders.
    """
    right, lower = (a - jnp.roll(a, -1, axis) for axis in (2, 1))
    variation = jnp.mean(jnp.sqrt(jnp.square(right) + jnp.square(lower)), axis=(1, 2, 3))
    return 255 * (l1(a, b) + variation) - psnr(a, b)


@jax.jit
def ssim(a: Images, b: Images) -> Float[Array, "b"]:
    """Return the structural similarity in [-1, 1] (Wang et al. 2004).

    The window is Gaussian (11 pixels, sigma 1.5), the moments are population moments, and the mean is over channels and
    over the windows inside the image. Raises InputError if the image is smaller than the window.
    """
    return _similarity(a, b, GAUSSIAN)


@jax.jit
def ssim_padded(a: Images, b: Images) -> Float[Array, "b"]:
    """Return `ssim` with a window around every pixel; images are padded with zeros."""
    return _similarity(a, b, GAUSSIAN, border=len(GAUSSIAN) // 2)


@partial(jax.jit, static_argnames="size")
def ssim_uniform(a: Images, b: Images, *, size: int) -> Float[Array, "b"]:
    """Return `ssim` with equal weights in a square of n = size^2 pixels and sample moments (divided by n - 1)."""
    return _similarity(a, b, (1 / size,) * size, bessel=size**2 / (size**2 - 1))


@jax.jit
def grey(images: Images) -> Float[Array, "b h w 1"] | Int32[Array, "b h w 1"]:
    """Return the luminance of RGB images, as scikit-image's rgb2gray; that of levels in levels, exactly, as int32."""
    if jnp.issubdtype(images.dtype, jnp.integer):
        return jnp.sum(images.astype(jnp.int32) * jnp.array(LUMINANCE, jnp.int32), axis=-1, keepdims=True)
    images, _ = _at_least_float32(images, images)
    weighted = (weight / sum(LUMINANCE) * images[..., i : i + 1] for i, weight in enumerate(LUMINANCE))
    return sum(weighted)  # type: ignore[return-value]


def _decibel(squared_error: Float[Array, "b"]) -> Float[Array, "b"]:
    return -10 * jnp.log10(squared_error)


def _hole_mean(x: Float[Array, "b h w c"], hole: Holes) -> Float[Array, "b"]:
    """Return the mean over hole pixels and channels; 0 without a hole."""
    total = jnp.sum(jnp.where(hole[..., None], x, 0), axis=(1, 2, 3))
    return total / jnp.maximum(jnp.sum(hole, axis=(1, 2)) * x.shape[-1], 1)


def _similarity(a: Images, b: Images, window: Window, border: int = 0, bessel: float = 1.0) -> Float[Array, "b"]:
    """Return the SSIM for a separable window, zero padding of `border` pixels and variances scaled by `bessel`."""
    size, (height, width) = len(window), a.shape[1:3]
    if min(height, width) + 2 * border < size:
        raise InputError(f"SSIM with a window of {size} pixels needs images of at least {size} x {size}, these have "
                         f"{height} x {width} (height x width): use larger images or a protocol with a smaller window")
    planes = [x.transpose(0, 3, 1, 2) for x in (_sum(a, b), _difference(a, b))]
    # One image at a time fits the cache of a CPU: three times as fast there as the whole batch.
    return jax.lax.map(lambda pair: _similarity_of_one(pair[0], pair[1], window, border, bessel), planes)


def _similarity_of_one(
    s: Float[Array, "c h w"], d: Float[Array, "c h w"], window: Window, border: int, bessel: float
) -> Float[Array, ""]:
    """Return the SSIM of one pair of images.

    From s = a + b and d = a - b it takes four blurs instead of five, and is exactly 1 for identical images:

        2 mean_a mean_b     = (mean_s^2 - mean_d^2) / 2        2 cov_ab      = (var_s - var_d) / 2
        mean_a^2 + mean_b^2 = (mean_s^2 + mean_d^2) / 2        var_a + var_b = (var_s + var_d) / 2
    """
    (mean_s, mean_d), (var_s, var_d) = _moments(jnp.stack([s, d]), window, border)
    c1, c2 = 2 * K1**2, 2 * K2**2 / bessel  # dividing the constant has the effect of multiplying the variances
    luminance = (mean_s**2 - mean_d**2 + c1) / (mean_s**2 + mean_d**2 + c1)
    structure = (var_s - var_d + c2) / (var_s + var_d + c2)
    return jnp.mean(luminance * structure)


def _moments(
    x: Float[Array, "n c h w"], window: Window, border: int
) -> tuple[Float[Array, "n c y x"], Float[Array, "n c y x"]]:
    """Return the weighted mean and population variance of every window."""
    # E[x^2] - E[x]^2 loses fewer digits if x is near zero, and a shift does not change a variance ...
    centre = jnp.mean(x, axis=(2, 3), keepdims=True)
    shifted = jnp.pad(x - centre, ((0, 0), (0, 0), (border, border), (border, border)))
    mean, square = _blur(jnp.stack([shifted, shifted * shifted]), window)
    variance = square - mean * mean
    if border:
        # ... if the weights sum to 1. At the border they do not: the padding is not shifted. Correct for that.
        rows, columns = (np.convolve(np.ones(side), window)[border : border + side] for side in x.shape[2:])
        inside = np.multiply.outer(rows, columns).astype(x.dtype)
        variance += centre * (1 - inside) * (2 * mean + centre * inside)
        centre = centre * inside
    return mean + centre, variance


def _blur(x: Float[Array, "*n h w"], window: Window) -> Float[Array, "*n y x"]:
    """Return the weighted mean of every window inside the image.

    The vertical pass is a sum of shifted copies, the horizontal pass a product with a banded matrix per tile. On a CPU
    this takes a third of the time of two banded matrices as wide as the image, which take a tenth of the time of XLA's
    depthwise convolution.
    """
    size = len(window)
    height, width = (side - size + 1 for side in x.shape[-2:])
    shifted = (weight * x[..., i : i + height, :] for i, weight in enumerate(window))
    vertical: Array = sum(shifted)  # type: ignore[assignment]
    tiles = [(start, min(TILE, width - start)) for start in range(0, width, TILE)]
    with jax.default_matmul_precision("highest"):  # the default on accelerators rounds to 8 or 10 bits
        return jnp.concatenate([
            jnp.matmul(vertical[..., start : start + columns + size - 1], _band(window, columns, x.dtype))
            for start, columns in tiles
        ], axis=-1)


def _band(window: Window, columns: int, dtype: jnp.dtype) -> Float[np.ndarray, "pixels columns"]:
    """Return a matrix whose column i holds the weights of the window that starts at pixel i."""
    band = np.zeros((columns + len(window) - 1, columns), dtype)
    for i in range(columns):
        band[i : i + len(window), i] = window
    return band


def _difference(a: Images, b: Images) -> Float[Array, "b h w c"]:
    """Return a - b in [-1, 1]; of levels it is exactly 0 where they are equal."""
    a, b, white = _with_signs(a, b)
    return (a - b).astype(jnp.promote_types(a.dtype, jnp.float32)) / white


def _sum(a: Images, b: Images) -> Float[Array, "b h w c"]:
    """Return a + b in [0, 2]."""
    a, b, white = _with_signs(a, b)
    return (a + b).astype(jnp.promote_types(a.dtype, jnp.float32)) / white


def _with_signs(a: Images, b: Images) -> tuple[jax.Array, jax.Array, int]:
    """Return both as floats or both as levels of type int32, which a difference fits into, and the value of white."""
    dtypes = {jnp.dtype(a.dtype), jnp.dtype(b.dtype)}
    if len(dtypes) == 1 and dtypes <= WHITE.keys():
        return jnp.asarray(a).astype(jnp.int32), jnp.asarray(b).astype(jnp.int32), WHITE[dtypes.pop()]
    return *_at_least_float32(a, b), 1


def _at_least_float32(a: Images, b: Images) -> tuple[Float[Array, "b h w c"], Float[Array, "b h w c"]]:
    a, b = jnp.asarray(a), jnp.asarray(b)
    dtype = jnp.promote_types(jnp.promote_types(a.dtype, b.dtype), jnp.float32)
    return a.astype(dtype), b.astype(dtype)
