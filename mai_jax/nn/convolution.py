"""Convolution, with forms that compute the same numbers in less time.

A TPU and a GPU get `jax.lax.conv_general_dilated` as it is. On a CPU, XLA is slow at maps of a few positions and at the
input's gradient of a strided convolution, and an enlarged map costs memory (docs/performance.md has the figures); there
all three are written as what it does well.
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
SMALL = 8  # positions on a side of the output: up to it, a product with all windows is faster
LARGE = 32  # positions on a side of the input: from it on, phases pay for their copies

# Of a window of 3 on a map enlarged twofold, which of the original's two rows (or columns) each tap sees: for the even
# results the taps see rows (i - 1, i, i), for the odd ones (i, i, i + 1).
SEEN = np.array([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], np.float32)  # [phase, row, tap]

Map = Float[Array, "b h w c"]
Kernel = Float[Array, "k k c f"]


def convolve(x: Map, kernel: Kernel, stride: int, padding: int) -> Float[Array, "b h2 w2 f"]:
    """Cross-correlation with `padding` zeros around the map."""
    _, h, w, _ = x.shape
    general = partial(_general, stride=stride, padding=padding)
    if _are_open(h, w):
        return general(x, kernel)
    if max(h, w) + 2 * padding - len(kernel) < SMALL * stride:
        return by_platform(general, partial(_product, stride=stride, padding=padding), x, kernel)
    if stride == 2 and len(kernel) > 1 and h % 2 == w % 2 == 0:
        return by_platform(general, lambda x, kernel: _halving(x, kernel, padding), x, kernel)
    return general(x, kernel)


def for_linen(x: Map, kernel: Kernel, strides: Sequence[int], padding: Sequence[tuple[int, int]], **_) -> Array:
    """`convolve` as the argument `conv_general_dilated` of a `flax.linen.Conv` without dilation."""
    return convolve(x, kernel, strides[0], padding[0][0])


def _are_open(*sizes: Any) -> bool:
    """Whether a program is made that takes maps of any size, as an exported one does."""
    return not all(isinstance(size, int) for size in sizes)


def _general(x: Map, kernel: Kernel, *, stride: int, padding: int) -> Array:
    return jax.lax.conv_general_dilated(x, kernel, (stride,) * 2, [(padding,) * 2] * 2, dimension_numbers=DIMENSIONS)


def _product(x: Map, kernel: Kernel, *, stride: int, padding: int) -> Array:
    """All windows, one row each, times the kernel."""
    padded = jnp.pad(x, ((0, 0), (padding,) * 2, (padding,) * 2, (0, 0)))
    k = len(kernel)
    h, w = ((size - k) // stride * stride + 1 for size in padded.shape[1:3])
    windows = [padded[:, i : i + h : stride, j : j + w : stride] for i in range(k) for j in range(k)]
    return jnp.concatenate(windows, -1) @ kernel.reshape(-1, kernel.shape[-1])


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _halving(x: Map, kernel: Kernel, padding: int) -> Array:
    return _general(x, kernel, stride=2, padding=padding)


def _halving_forward(x: Map, kernel: Kernel, padding: int) -> tuple[Array, tuple[Map, Kernel]]:
    return _general(x, kernel, stride=2, padding=padding), (x, kernel)


def _halving_backward(padding: int, saved: tuple[Map, Kernel], gradient: Array) -> tuple[Map, Kernel]:
    """Even and odd rows of the input have met every other tap: one dense convolution for each such phase."""
    x, kernel = saved
    (by_kernel,) = jax.vjp(lambda kernel: _general(x, kernel, stride=2, padding=padding), kernel)[1](gradient)
    flipped = kernel[::-1, ::-1]

    def met(phase: int, size: int, results: int) -> tuple[slice, tuple[int, int]]:
        """The flipped taps that rows of this phase have met, and the padding of the gradient that aligns them."""
        taps = range((phase + padding) % 2, len(kernel), 2)
        first, last = (phase + padding - taps[-1]) // 2, (phase + padding - taps[0]) // 2
        return slice(len(kernel) - 1 - taps[-1], None, 2), (-first, size // 2 - results + last)

    def phase(a: int, b: int) -> Map:
        (rows, above), (columns, beside) = map(met, (a, b), x.shape[1:3], gradient.shape[1:3])
        return jax.lax.conv_general_dilated(gradient, flipped[rows, columns], (1, 1), [above, beside],
                                            dimension_numbers=("NHWC", "HWOI", "NHWC"))

    return _interleave([[phase(a, b) for b in (0, 1)] for a in (0, 1)]), by_kernel


_halving.defvjp(_halving_forward, _halving_backward)


def enlarge(x: Map) -> Float[Array, "b 2*h 2*w c"]:
    """Twofold, by repetition."""
    return x.repeat(2, axis=1).repeat(2, axis=2)


def convolve_enlarged(
    x: Map, skip: Float[Array, "b 2*h 2*w c2"], kernel: Float[Array, "3 3 c+c2 f"]
) -> Float[Array, "b 2*h 2*w f"]:
    """`convolve` of the enlarged `x` with `skip` behind it along the channels."""
    _, h, w, _ = x.shape
    if _are_open(h, w) or min(h, w) < LARGE:
        return _convolve_enlarged(x, skip, kernel)
    return by_platform(_convolve_enlarged, _convolve_in_phases, x, skip, kernel)


def _convolve_enlarged(x: Array, skip: Array, kernel: Array) -> Array:
    return convolve(jnp.concatenate([enlarge(x), skip], -1), kernel, 1, 1)


def _convolve_in_phases(x: Array, skip: Array, kernel: Array) -> Array:
    """Even and odd rows and columns of the part of `x` are made by one convolution of 2x2 each, at the size of `x`.

    That is 4/9 of the products, and the enlarged map never exists. (On a TPU it moves more bytes than it saves.)
    """
    channels = x.shape[-1]
    seen = jnp.einsum("apd,bqe,deio->abpqio", SEEN, SEEN, kernel[:, :, :channels], precision="highest")
    seen = seen.astype(kernel.dtype)

    def phase(a: int, b: int) -> Array:
        padding = [(1 - a, a), (1 - b, b)]
        return jax.lax.conv_general_dilated(x, seen[a, b], (1, 1), padding, dimension_numbers=DIMENSIONS)

    of_x = _interleave([[phase(a, b) for b in (0, 1)] for a in (0, 1)])
    return of_x + convolve(skip, kernel[:, :, channels:], 1, 1)


def _interleave(parts: list[list[Map]]) -> Float[Array, "b 2*h 2*w c"]:
    """[[even rows and columns, odd columns], [odd rows, ...]] as one map of twice the size."""
    b, h, w, c = parts[0][0].shape
    return jnp.stack([jnp.stack(row, 3) for row in parts], 2).reshape(b, 2 * h, 2 * w, c)
