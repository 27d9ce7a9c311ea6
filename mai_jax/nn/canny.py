"""Canny's edge detector on the device, equal to scikit-image's `feature.canny` with its default thresholds.

Every sum is written as shifted products: a convolution would be computed in bfloat16 on TPU and in TF32 on GPU.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

LOW = float(np.float32(0.1))  # of the gradient of an image in [0, 1]; scikit-image stores it as float32 ...
HIGH = 0.2  # ... and this one in the image's dtype
TRUNCATE = 4.0  # radius of the Gaussian window, in sigma
GROWTH = 8  # steps of the hysteresis between two tests for convergence

LUMA = (0.2125, 0.7154, 0.0721)  # of red, green, blue: scikit-image's `rgb2gray`


def to_grey(image: Float[Array, "b h w 3"]) -> Float[Array, "b h w 1"]:
    """Return the luminance."""
    return sum(weight * image[..., i : i + 1] for i, weight in enumerate(LUMA))  # type: ignore[return-value]


@partial(jax.jit, static_argnames="sigma")
def canny(
    grey: Float[Array, "b h w 1"], sigma: float, valid: Float[Array, "b h w 1"] | None = None
) -> Float[Array, "b h w 1"]:
    """Return 1 on edges, one pixel wide, and 0 elsewhere, for images in [0, 1] blurred with `sigma` pixels.

    Without `valid` all pixels are valid. `grey` is not read in the hole, the border of the hole is not an edge, and no
    edge touches the hole. The outermost pixels of the image are never edges.
    """
    given = jnp.ones_like(grey) if valid is None else valid.astype(grey.dtype)
    share = _blur(given, sigma) + jnp.finfo(grey.dtype).eps  # of the Gaussian's weight, on valid pixels
    smoothed = _blur(jnp.where(given > 0, grey, 0), sigma) / share
    down, across = _sobel(smoothed, axis=1), _sobel(smoothed, axis=2)
    magnitude = jnp.sqrt(down * down + across * across)
    weak = _is_ridge(down, across, magnitude) & _inside(given) & (magnitude >= LOW)
    return _connected(weak & (magnitude >= HIGH), weak).astype(grey.dtype)


def _shift(padded: Array, axis: int, start: int, size: int) -> Array:
    return lax.slice_in_dim(padded, start, start + size, axis=axis)


def _pad(x: Array, axes: tuple[int, ...], by: int, mode: str = "constant") -> Array:
    return jnp.pad(x, [(by, by) if axis in axes else (0, 0) for axis in range(x.ndim)], mode)


def _blur(x: Float[Array, "b h w 1"], sigma: float) -> Float[Array, "b h w 1"]:
    """Return the convolution with a Gaussian; zero padding."""
    radius = int(TRUNCATE * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights = (weights / weights.sum()).tolist()
    for axis in (1, 2):
        padded, size = _pad(x, (axis,), radius), x.shape[axis]
        x = sum(weight * _shift(padded, axis, i, size) for i, weight in enumerate(weights))
    return x


def _sobel(x: Float[Array, "b h w 1"], axis: int) -> Float[Array, "b h w 1"]:
    """Return 4 times the central difference along `axis`, smoothed along the other axis; symmetric padding."""
    other, size = 3 - axis, x.shape[axis]
    padded = _pad(x, (axis,), 1, mode="symmetric")
    x = _pad(_shift(padded, axis, 2, size) - _shift(padded, axis, 0, size), (other,), 1, mode="symmetric")
    return sum(  # type: ignore[return-value]
        weight * _shift(x, other, i, x.shape[other] - 2) for i, weight in enumerate((1, 2, 1)))


def _is_ridge(down: Array, across: Array, magnitude: Array) -> Array:
    """Return where the magnitude is at least that of both neighbours along the gradient (non-maximum suppression).

    A neighbour's magnitude is interpolated between a straight and a diagonal pixel.
    """
    h, w = magnitude.shape[1:3]
    padded = _pad(magnitude, (1, 2), 1)

    def neighbour(i: int, j: int) -> Array:
        return _shift(_shift(padded, 1, 1 + i, h), 2, 1 + j, w)

    steep = jnp.abs(down) > jnp.abs(across)
    falling = down * across >= 0  # towards the lower right or the upper left
    long = jnp.where(steep, jnp.abs(down), jnp.abs(across))
    short = jnp.where(steep, jnp.abs(across), jnp.abs(down))
    weight = short / jnp.where(long > 0, long, 1)

    def along_gradient(sign: int) -> Array:
        straight = jnp.where(steep, neighbour(sign, 0), neighbour(0, sign))
        rising_diagonal = jnp.where(steep, neighbour(sign, -sign), neighbour(-sign, sign))
        diagonal = jnp.where(falling, neighbour(sign, sign), rising_diagonal)
        return weight * diagonal + (1 - weight) * straight

    return (along_gradient(1) <= magnitude) & (along_gradient(-1) <= magnitude)


def _inside(given: Float[Array, "b h w 1"]) -> Array:
    """Return where the pixel and its eight neighbours are valid; outside the image nothing is."""
    return ~_dilate(_pad(given, (1, 2), 1) == 0)[:, 1:-1, 1:-1]


def _dilate(mask: Array) -> Array:
    """Return where `mask` or any of its eight neighbours is true."""
    for axis in (1, 2):
        size = mask.shape[axis]
        border = jnp.zeros_like(_shift(mask, axis, 0, 1))
        before = jnp.concatenate([border, _shift(mask, axis, 0, size - 1)], axis)
        after = jnp.concatenate([_shift(mask, axis, 1, size - 1), border], axis)
        mask = before | mask | after
    return mask


def _connected(strong: Array, weak: Array) -> Array:
    """Return the weak pixels connected to a strong one through weak pixels (hysteresis)."""

    def grow(state: tuple[Array, Array]) -> tuple[Array, Array]:
        before, _ = state
        edges = before
        for _ in range(GROWTH):
            edges = _dilate(edges) & weak
        return edges, jnp.any(edges != before)

    return lax.while_loop(lambda state: state[1], grow, (strong, jnp.array(True)))[0]
