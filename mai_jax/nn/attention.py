"""Pixelwise attention, Eq. 6-12 and Fig. 3: paint every position from the background positions that resemble it.

`attend` has three implementations that agree. "dense" writes the equations down as they stand; "conv" is the paper's
own formulation, in which the background pixels become the filters of a convolution and of its transpose; "blockwise" is
the one to use: faster, and it never holds the scores of all pairs of positions.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mai_jax.nn import blockwise_attention
from mai_jax.nn.squeeze_excite import SqueezeExcite
from mai_jax.types import Masked

MASKED_OUT = -1e30  # finite, so that a row without any background has a gradient


def attend(
    features: Masked, *, scale: float = 10.0, window: int = 3, implementation: str = "blockwise"
) -> Float[Array, "b h w c"]:
    """phi_att: for each position the background features, weighted by the propagated attention scores.

    Background is where `features.known` is 1; every position asks. `scale` is lambda of Eq. 7, `window` = 2k + 1 the
    side of the neighbourhood of Eq. 8, whose sum is not renormalised. Without any background the result is zero.
    `implementation` is "blockwise", "dense" or "conv"; the last two hold scores for all (h w)^2 pairs of positions.
    """
    return IMPLEMENTATIONS[implementation](features, scale, window)


def scores(features: Masked, scale: float = 10.0, window: int = 3) -> Float[Array, "b h w h w"]:
    """S' of Eq. 8, [b, x, y, x', y']: how much position (x, y) takes from background position (x', y')."""
    background = features.known[:, None, None, :, :, 0] > 0
    unit = _normalise(features.x)
    keys = jnp.where(features.known > 0, unit, 0)
    similarity = jnp.einsum("bxyc,buvc->bxyuv", unit, keys)  # Eq. 6
    return _propagate_dense(_softmax(scale * similarity, background, axis=(3, 4)), window) * background


def _attend_dense(features: Masked, scale: float, window: int) -> Float[Array, "b h w c"]:
    values = jnp.where(features.known > 0, features.x, 0)
    return jnp.einsum("bxyuv,buvc->bxyc", scores(features, scale, window), values)


def _attend_conv(features: Masked, scale: float, window: int) -> Float[Array, "b h w c"]:
    def attend_one(x: Float[Array, "h w c"], known: Float[Array, "h w 1"]) -> Float[Array, "h w c"]:
        h, w, c = x.shape
        background = known.reshape(h * w) > 0
        values = jnp.where(known > 0, x, 0)
        unit = _normalise(x)
        keys = jnp.where(known > 0, unit, 0)
        similarity = _convolve(unit[None], keys.reshape(1, 1, h * w, c), "HWOI")  # a filter per background pixel
        attention = _softmax(scale * similarity, background, axis=-1).reshape(h, w, h, w)
        propagated = _propagate_conv(attention, window).reshape(1, h, w, h * w) * background
        return _convolve(propagated, values.reshape(1, 1, h * w, c), "HWIO")[0]  # the same filters, transposed

    return jax.vmap(attend_one)(*features)


def _attend_blockwise(features: Masked, scale: float, window: int) -> Float[Array, "b h w c"]:
    values = jnp.where(features.known > 0, features.x, 0)
    return blockwise_attention.attend(_normalise(features.x), values, features.known, scale, window)


IMPLEMENTATIONS = {"blockwise": _attend_blockwise, "dense": _attend_dense, "conv": _attend_conv}


def _normalise(x: Float[Array, "... c"]) -> Float[Array, "... c"]:
    """x / ||x||, and zero with zero slope for a vector that has no direction. Computed in float32 or better."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    squared = jnp.sum(wide * wide, axis=-1, keepdims=True)
    directed = squared > 1e-12
    return jnp.where(directed, wide * jax.lax.rsqrt(jnp.where(directed, squared, 1)), 0).astype(x.dtype)


def _softmax(logits: Float[Array, "..."], background: Array, axis: int | tuple[int, ...]) -> Float[Array, "..."]:
    """Eq. 7: softmax over the background positions; zero elsewhere, and zero everywhere if there are none."""
    return jax.nn.softmax(jnp.where(background, logits, MASKED_OUT), axis=axis) * background


def _propagate_dense(s: Float[Array, "b h w h w"], window: int) -> Float[Array, "b h w h w"]:
    """Eq. 8: asking and answering position shift together. A shift is vertical, then horizontal."""
    for asking, answering in ((1, 3), (2, 4)):
        k, size = window // 2, s.shape[asking]
        pad = [(k, k) if axis in (asking, answering) else (0, 0) for axis in range(5)]
        padded = jnp.pad(s, pad)
        s = sum(
            jax.lax.slice_in_dim(jax.lax.slice_in_dim(padded, i, i + size, axis=asking), i, i + size, axis=answering)
            for i in range(window)
        )
    return s


def _propagate_conv(s: Float[Array, "h w h w"], window: int) -> Float[Array, "h w h w"]:
    """Eq. 8 as two convolutions with an identity matrix, over (row, row') and over (column, column')."""
    h, w = s.shape[:2]
    diagonal = jnp.eye(window, dtype=s.dtype)[:, :, None, None]
    rows = s.transpose(1, 3, 0, 2).reshape(w * w, h, h, 1)
    rows = _convolve(rows, diagonal, "HWIO").reshape(w, w, h, h)
    columns = rows.transpose(2, 3, 0, 1).reshape(h * h, w, w, 1)
    return _convolve(columns, diagonal, "HWIO").reshape(h, h, w, w).transpose(0, 2, 1, 3)


def _convolve(x: Float[Array, "b h w c"], kernel: Float[Array, "k l m n"], kernel_axes: str) -> Float[Array, "b h w d"]:
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", kernel_axes, "NHWC"))


class PixelwiseAttention(nn.Module):
    """phi_out of Eq. 12: features and what attention painted, weighed by SE and merged to the old channel count.

    Here the merge is added to the features, and a tenth of it, so that the block starts as the identity, nearly, and
    Adam, whose steps are of one size for all weights, takes small ones. The paper's merge has no BatchNorm behind it,
    which elsewhere slows a layer down as its weights grow: learned at the others' rate it did more harm than good.
    """

    scale: float = 10.0
    window: int = 3
    implementation: str = "blockwise"
    squeeze: int = 16

    @nn.compact
    def __call__(self, features: Masked) -> Float[Array, "b h w c"]:
        phi_in = features.x
        phi_att = attend(features, scale=self.scale, window=self.window, implementation=self.implementation)
        phi_att = phi_att / self.window**2  # Eq. 8 sums so many scores: now Adam's steps weigh as much as for phi_in
        both = SqueezeExcite(self.squeeze, name="squeeze_excite")(jnp.concatenate([phi_in, phi_att], axis=-1))
        return phi_in + nn.Conv(phi_in.shape[-1], (1, 1), dtype=phi_in.dtype, name="added")(both) / 10
