"""Pixelwise attention, Eq. 6-12 and Fig. 3: predict each position from the background positions similar to it.

`attend` has three implementations, equal up to rounding. "dense" is the equations as products; "conv" is the paper's
own formulation, with the background pixels as the filters of a convolution and of its transpose; "blockwise" is the
default: it is faster and never stores the scores of all pairs of positions. In the training step on TPUs it is one
kernel (`pallas_attention`), where a map fits into VMEM.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mai_jax.batch import Masked
from mai_jax.nn import blockwise_attention, score_chunks
from mai_jax.nn.squeeze_excite import SqueezeExcite

MERGES = ("published", "residual")
MASKED_LOGIT = -1e30  # finite, so that the gradient of a row without any background is finite


def attend(
    features: Masked, *, scale: float = 10.0, window: int = 3, implementation: str = "blockwise"
) -> Float[Array, "b h w c"]:
    """Return phi_att: for each position the background features, weighted by the propagated attention scores.

    Keys and values are the positions where `features.valid` is 1; every position is a query. `scale` is lambda of
    Eq. 7, `window` = 2k + 1 the side of the neighbourhood of Eq. 8, whose sum is not renormalized. Without any
    background the result is zero. `implementation` is "blockwise", "dense" or "conv"; the last two store the scores of
    all (h w)^2 pairs of positions.
    """
    return IMPLEMENTATIONS[implementation](features, scale, window)


def scores(features: Masked, scale: float = 10.0, window: int = 3) -> Float[Array, "b h w h w"]:
    """Return S' of Eq. 8, [b, x, y, x', y']: the weight of background position (x', y') for position (x, y)."""
    background = features.valid[:, None, None, :, :, 0] > 0
    unit = _normalize(features.x)
    keys = jnp.where(features.valid > 0, unit, 0)
    similarity = jnp.einsum("bxyc,buvc->bxyuv", unit, keys)  # Eq. 6
    return _propagate_dense(_softmax(scale * similarity, background, axis=(3, 4)), window) * background


def _attend_dense(features: Masked, scale: float, window: int) -> Float[Array, "b h w c"]:
    values = jnp.where(features.valid > 0, features.x, 0)
    return jnp.einsum("bxyuv,buvc->bxyc", scores(features, scale, window), values)


def _attend_conv(features: Masked, scale: float, window: int) -> Float[Array, "b h w c"]:
    def attend_one(x: Float[Array, "h w c"], valid: Float[Array, "h w 1"]) -> Float[Array, "h w c"]:
        h, w, c = x.shape
        background = valid.reshape(h * w) > 0
        values = jnp.where(valid > 0, x, 0)
        unit = _normalize(x)
        keys = jnp.where(valid > 0, unit, 0)
        similarity = _convolve(unit[None], keys.reshape(1, 1, h * w, c), "HWOI")  # one filter per background pixel
        attention = _softmax(scale * similarity, background, axis=-1).reshape(h, w, h, w)
        propagated = _propagate_conv(attention, window).reshape(1, h, w, h * w) * background
        return _convolve(propagated, values.reshape(1, 1, h * w, c), "HWIO")[0]  # the same filters, transposed

    return jax.vmap(attend_one)(*features)


def _attend_blockwise(features: Masked, scale: float, window: int) -> Float[Array, "b h w c"]:
    values = jnp.where(features.valid > 0, features.x, 0)
    memory = score_chunks.usable_memory(features.x.shape, features.x.dtype, scale, window)
    if memory:
        from mai_jax.nn import pallas_attention  # takes a second, which only a TPU pays for

        return pallas_attention.attend_on_mesh(
            _normalize(features.x), values, features.valid, scale, window, memory)
    return blockwise_attention.attend(_normalize(features.x), values, features.valid, scale, window)


IMPLEMENTATIONS = {"blockwise": _attend_blockwise, "dense": _attend_dense, "conv": _attend_conv}


def _normalize(x: Float[Array, "... c"]) -> Float[Array, "... c"]:
    """Return x / ||x||, computed in float32 or better; zero, with zero gradient, if the norm is below 1e-6."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    squared = jnp.sum(wide * wide, axis=-1, keepdims=True)
    nonzero = squared > 1e-12
    return jnp.where(nonzero, wide * jax.lax.rsqrt(jnp.where(nonzero, squared, 1)), 0).astype(x.dtype)


def _softmax(logits: Float[Array, "..."], background: Array, axis: int | tuple[int, ...]) -> Float[Array, "..."]:
    """Return the softmax over the background positions, Eq. 7: zero elsewhere, and everywhere if there are none."""
    return jax.nn.softmax(jnp.where(background, logits, MASKED_LOGIT), axis=axis) * background


def _propagate_dense(s: Float[Array, "b h w h w"], window: int) -> Float[Array, "b h w h w"]:
    """Return the sum of Eq. 8, in which query and key shift together: over vertical, then over horizontal shifts."""
    for query_axis, key_axis in ((1, 3), (2, 4)):
        k, size = window // 2, s.shape[query_axis]
        pad = [(k, k) if axis in (query_axis, key_axis) else (0, 0) for axis in range(5)]
        padded = jnp.pad(s, pad)
        s = sum(  # type: ignore[assignment]
            jax.lax.slice_in_dim(jax.lax.slice_in_dim(padded, i, i + size, axis=query_axis), i, i + size, axis=key_axis)
            for i in range(window)
        )
    return s


def _propagate_conv(s: Float[Array, "h w h w"], window: int) -> Float[Array, "h w h w"]:
    """Return the sum of Eq. 8, as two convolutions with an identity matrix: over (row, row') and (column, column')."""
    h, w = s.shape[:2]
    diagonal = jnp.eye(window, dtype=s.dtype)[:, :, None, None]
    rows = s.transpose(1, 3, 0, 2).reshape(w * w, h, h, 1)
    rows = _convolve(rows, diagonal, "HWIO").reshape(w, w, h, h)
    columns = rows.transpose(2, 3, 0, 1).reshape(h * h, w, w, 1)
    return _convolve(columns, diagonal, "HWIO").reshape(h, h, w, w).transpose(0, 2, 1, 3)


def _convolve(x: Float[Array, "b h w c"], kernel: Float[Array, "k l m n"], kernel_axes: str) -> Float[Array, "b h w d"]:
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", kernel_axes, "NHWC"))


class PixelwiseAttention(nn.Module):
    """phi_out of Eq. 12: the features and phi_att, weighted by SE and merged to the channels of the features.

    `merge="published"` is exactly Eq. 12: phi_out = Conv(SE([phi_in, phi_att])), a 1x1 convolution with bias. The paper
    gives no initialization; here the convolution starts as twice the identity on phi_in and zero on phi_att. SE starts
    with all weights close to 1/2, so the block starts close to the identity.

    `merge="residual"` is not in the paper: phi_out = phi_in + Conv(SE([phi_in, phi_att / (2k + 1)^2])) / 10. Adam's
    step size is the same for all weights, and unlike the other layers this convolution has no BatchNorm after it, which
    would reduce its effective learning rate as the weights grow. The factors make its steps smaller.
    """

    scale: float = 10.0
    window: int = 3
    implementation: str = "blockwise"
    se_reduction: int = 16
    merge: str = "published"

    @nn.compact
    def __call__(self, features: Masked) -> Float[Array, "b h w c"]:
        if self.merge not in MERGES:
            raise ValueError(f"merge={self.merge!r}: must be one of {MERGES}")
        phi_in = features.x
        phi_att = attend(features, scale=self.scale, window=self.window, implementation=self.implementation)
        squeeze_excite = SqueezeExcite(self.se_reduction, name="squeeze_excite")
        conv = partial(nn.Conv, phi_in.shape[-1], (1, 1), dtype=phi_in.dtype)
        if self.merge == "published":
            weighted = squeeze_excite(jnp.concatenate([phi_in, phi_att], axis=-1))
            return conv(kernel_init=_twice_the_identity, name="merge")(weighted)
        phi_att = phi_att / self.window**2  # Eq. 8 sums that many scores; this gives phi_att the scale of phi_in
        weighted = squeeze_excite(jnp.concatenate([phi_in, phi_att], axis=-1))
        return phi_in + conv(name="added")(weighted) / 10


def _twice_the_identity(rng: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Float[Array, "1 1 c2 c"]:
    """Return a kernel that passes the first half of the channels, times two, and drops the second half."""
    del rng
    return jnp.zeros(shape, dtype).at[0, 0, : shape[-1]].set(2 * jnp.eye(shape[-1], dtype=dtype))
