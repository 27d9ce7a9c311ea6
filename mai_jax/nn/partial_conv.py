"""Partial convolution, Eq. 1-5: convolve the valid positions, renormalize by their share, update the mask."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from mai_jax.batch import Masked
from mai_jax.nn.convolution import convolve, convolve_enlarged, enlarge, window_sum

Map = Float[Array, "b h w _"]


class PartialConv(nn.Module):
    """Partial convolution over one or more feature maps, each with its own one-channel `valid`.

    Called with maps `[b, h, w, c_i]`, returns `[b, ceil(h / stride), ceil(w / stride), features]`. The inputs count as
    concatenated along the channels, and each `valid` is weighted by the number of its channels in the coverage: the
    same numbers as a mask with one channel per feature, at the cost of a one-channel sum. Zero padding counts as not
    valid, so borders are renormalized too. Where nothing is valid the output is zero and not valid.
    """

    features: int
    kernel: int = 3
    stride: int = 1
    use_bias: bool = True

    @nn.compact
    def __call__(self, *inputs: Masked) -> Masked:
        channels = [masked.x.shape[-1] for masked in inputs]
        maps = _zero_where_not_valid(inputs)
        shape = (self.kernel, self.kernel, sum(channels), self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape).astype(maps[0].dtype)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,)) if self.use_bias else None

        convolved = convolve(jnp.concatenate(maps, -1), kernel, self.stride, self.kernel // 2)
        valids = [masked.valid for masked in inputs]
        return _renormalize(convolved, valids, channels, self.kernel, self.stride, bias)


class UpsamplePartialConv(nn.Module):
    """Partial convolution (kernel 3) of a map enlarged twofold, concatenated with a skip connection of that size.

    Called with maps `[b, h, w, c]` and `[b, 2 h, 2 w, c2]`, returns `[b, 2 h, 2 w, features]`: the numbers of
    `PartialConv` on both, and its parameters, without storing the enlarged map on a CPU.
    """

    features: int
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.he_normal()

    @nn.compact
    def __call__(self, x: Masked, skip: Masked) -> Masked:
        channels = [x.x.shape[-1], skip.x.shape[-1]]
        maps = _zero_where_not_valid((x, skip))
        kernel = self.param("kernel", self.kernel_init, (3, 3, sum(channels), self.features))
        kernel = kernel.astype(maps[0].dtype)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,)) if self.use_bias else None

        convolved = convolve_enlarged(maps[0], maps[1], kernel)
        return _renormalize(convolved, [enlarge(x.valid), skip.valid], channels, 3, 1, bias)


def _zero_where_not_valid(inputs: Sequence[Masked]) -> list[Map]:
    """Return the maps with zeros where they are not valid. `where`, not a product: NaN may be there."""
    return [jnp.where(masked.valid > 0, masked.x, 0) for masked in inputs]


def _renormalize(
    convolved: Float[Array, "b h w c"], valids: Sequence[Float[Array, "b h2 w2 1"]], channels: Sequence[int],
    size: int, stride: int, bias: Float[Array, "c"] | None,
) -> Masked:  # fmt: skip
    """Return the output of Eq. 2-5, given the convolution of Eq. 1 without bias."""
    convolved = checkpoint_name(convolved, "conv")
    valid: Array = sum(valid * c for valid, c in zip(valids, channels, strict=True))  # type: ignore[assignment]
    coverage = window_sum(valid, size, stride)  # M, summed over the window and all channels
    full = size**2 * sum(channels)  # E
    covered = coverage > 0
    out = convolved * jnp.where(covered, full / jnp.where(covered, coverage, 1), 0).astype(convolved.dtype)  # Eq. 4
    if bias is not None:
        out = jnp.where(covered, out + bias.astype(out.dtype), 0)  # Eq. 2
    return Masked(out, covered.astype(valid.dtype))  # Eq. 3, 5
