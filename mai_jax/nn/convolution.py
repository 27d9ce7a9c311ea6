"""Convolution, with faster implementations for CPUs that return the same numbers.

A TPU and a GPU run `jax.lax.conv_general_dilated`. On a CPU, XLA is slow for maps of a few positions and for the
gradient of a strided convolution with respect to its input, and an enlarged map costs memory; all three are computed in
another way there. Measurements: docs/performance.md.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mai_jax.nn.by_platform import by_platform

DIMENSIONS = ("NHWC", "HWIO", "NHWC")
SMALL = 8  # side of the output below which a matrix product with all windows is faster
LARGE = 32  # side of the input from which convolving in phases is faster, its copies included

# A window of 3 on a map enlarged twofold covers two rows (or columns) of the map. This table assigns each tap its row:
# even results read rows (i - 1, i, i), odd ones (i, i, i + 1).
TAP_ROWS = np.array([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], np.float32)  # [phase, row, tap]

Map = Float[Array, "b h w c"]
Kernel = Float[Array, "k k c f"]


def convolve(x: Map, kernel: Kernel, stride: int, padding: int) -> Float[Array, "b h2 w2 f"]:
    """Return the cross-correlation of the map, padded with `padding` zeros on each side, with the kernel."""
    _, h, w, _ = x.shape
    general = partial(_general, stride=stride, padding=padding)
    if _are_symbolic(h, w):
        return general(x, kernel)
    if max(h, w) + 2 * padding - len(kernel) < SMALL * stride:
        return by_platform(general, partial(_product, stride=stride, padding=padding), x, kernel)
    if stride == 2 and len(kernel) > 1 and h % 2 == w % 2 == 0:
        return by_platform(general, lambda x, kernel: _stride_2(x, kernel, padding), x, kernel)
    return general(x, kernel)


def for_linen(x: Map, kernel: Kernel, strides: Sequence[int], padding: Sequence[tuple[int, int]], **_) -> Array:
    """Return `convolve`: for the argument `conv_general_dilated` of a `flax.linen.Conv` without dilation."""
    return convolve(x, kernel, strides[0], padding[0][0])


def window_sum(x: Map, size: int, stride: int) -> Float[Array, "b h2 w2 c"]:
    """Return the sum over a square window of odd size around every stride-th position, zeros around the map.

    First over columns, then over rows of windows: on a CPU 10 to 40 times faster than a convolution with ones.
    """
    for axis in (1, 2):
        sizes, strides, padding = [1] * 4, [1] * 4, [(0, 0)] * 4
        sizes[axis], strides[axis], padding[axis] = size, stride, (size // 2,) * 2
        x = jax.lax.reduce_window(x, np.zeros((), x.dtype), jax.lax.add, sizes, strides, padding)
    return x


def _are_symbolic(*sizes: Any) -> bool:
    """Return whether the sizes are symbolic, as in an exported program for maps of any size."""
    return not all(isinstance(size, int) for size in sizes)


def _general(x: Map, kernel: Kernel, *, stride: int, padding: int) -> Array:
    return jax.lax.conv_general_dilated(x, kernel, (stride,) * 2, [(padding,) * 2] * 2, dimension_numbers=DIMENSIONS)


def _product(x: Map, kernel: Kernel, *, stride: int, padding: int) -> Array:
    """Return the convolution as the product of the matrix of all windows, one row each, and the kernel."""
    padded = jnp.pad(x, ((0, 0), (padding,) * 2, (padding,) * 2, (0, 0)))
    k = len(kernel)
    h, w = ((size - k) // stride * stride + 1 for size in padded.shape[1:3])
    windows = [padded[:, i : i + h : stride, j : j + w : stride] for i in range(k) for j in range(k)]
    return jnp.concatenate(windows, -1) @ kernel.reshape(-1, kernel.shape[-1])


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _stride_2(x: Map, kernel: Kernel, padding: int) -> Array:
    return _general(x, kernel, stride=2, padding=padding)


def _stride_2_forward(x: Map, kernel: Kernel, padding: int) -> tuple[Array, tuple[Map, Kernel]]:
    return _general(x, kernel, stride=2, padding=padding), (x, kernel)


def _stride_2_backward(padding: int, saved: tuple[Map, Kernel], gradient: Array) -> tuple[Map, Kernel]:
    """Return the gradients. Even and odd rows of the input meet every other tap: one dense convolution per phase."""
    x, kernel = saved
    (kernel_gradient,) = jax.vjp(lambda kernel: _general(x, kernel, stride=2, padding=padding), kernel)[1](gradient)
    flipped = kernel[::-1, ::-1]

    def taps_of(phase: int, size: int, results: int) -> tuple[slice, tuple[int, int]]:
        """Return the flipped taps that rows of this phase meet, and the padding of the gradient that aligns them."""
        taps = range((phase + padding) % 2, len(kernel), 2)
        first, last = (phase + padding - taps[-1]) // 2, (phase + padding - taps[0]) // 2
        return slice(len(kernel) - 1 - taps[-1], None, 2), (-first, size // 2 - results + last)

    def phase(a: int, b: int) -> Map:
        (rows, row_padding), (columns, column_padding) = map(taps_of, (a, b), x.shape[1:3], gradient.shape[1:3])
        return jax.lax.conv_general_dilated(gradient, flipped[rows, columns], (1, 1), [row_padding, column_padding],
                                            dimension_numbers=("NHWC", "HWOI", "NHWC"))

    return _interleave([[phase(a, b) for b in (0, 1)] for a in (0, 1)]), kernel_gradient


_stride_2.defvjp(_stride_2_forward, _stride_2_backward)


def enlarge(x: Map) -> Float[Array, "b 2*h 2*w c"]:
    """Return the map at twice its size, by repetition of rows and columns (nearest neighbour)."""
    return x.repeat(2, axis=1).repeat(2, axis=2)


def convolve_enlarged(
    x: Map, skip: Float[Array, "b 2*h 2*w c2"], kernel: Float[Array, "3 3 c+c2 f"]
) -> Float[Array, "b 2*h 2*w f"]:
    """Return `convolve` (padding 1) of the enlarged `x` and `skip`, concatenated along the channels."""
    _, h, w, _ = x.shape
    if _are_symbolic(h, w) or min(h, w) < LARGE:
        return _convolve_enlarged(x, skip, kernel)
    return by_platform(_convolve_enlarged, _convolve_in_phases, x, skip, kernel)


def _convolve_enlarged(x: Array, skip: Array, kernel: Array) -> Array:
    return convolve(jnp.concatenate([enlarge(x), skip], -1), kernel, 1, 1)


def _convolve_in_phases(x: Array, skip: Array, kernel: Array) -> Array:
    """Return `convolve_enlarged`, with one 2x2 convolution of `x` each for its even and odd rows and columns.

    This takes 4/9 of the multiplications, and the enlarged map is never stored. (On a TPU it moves more bytes.)
    """
    channels = x.shape[-1]
    kernels = jnp.einsum("apd,bqe,deio->abpqio", TAP_ROWS, TAP_ROWS, kernel[:, :, :channels], precision="highest")
    kernels = kernels.astype(kernel.dtype)

    def phase(a: int, b: int) -> Array:
        padding = [(1 - a, a), (1 - b, b)]
        return jax.lax.conv_general_dilated(x, kernels[a, b], (1, 1), padding, dimension_numbers=DIMENSIONS)

    of_x = _interleave([[phase(a, b) for b in (0, 1)] for a in (0, 1)])
    return of_x + convolve(skip, kernel[:, :, channels:], 1, 1)


def _interleave(parts: list[list[Map]]) -> Float[Array, "b 2*h 2*w c"]:
    """Return the map of twice the size whose rows of parity a and columns of parity b are `parts[a][b]`."""
    b, h, w, c = parts[0][0].shape
    return jnp.stack([jnp.stack(row, 3) for row in parts], 2).reshape(b, 2 * h, 2 * w, c)
