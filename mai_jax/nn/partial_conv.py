"""Partial convolution, Eq. 1-5: convolve what is known, renormalise by how much was known, update the mask."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from mai_jax.types import Masked

DIMENSIONS = ("NHWC", "HWIO", "NHWC")


class PartialConv(nn.Module):
    """Partial convolution over one or more feature maps, each with its own one-channel `known`.

    Called with maps `[b, h, w, c_i]`, returns `[b, ceil(h / stride), ceil(w / stride), features]`. The inputs count as
    concatenated along the channels, and a position's coverage weighs each `known` by the channels it speaks for: the
    numbers of a mask with one channel per feature, at the cost of a one-channel sum. Zero padding counts as unknown, so
    borders are renormalised too. Where nothing is known the output is zero and stays unknown.
    """

    features: int
    kernel: int = 3
    stride: int = 1
    use_bias: bool = True

    @nn.compact
    def __call__(self, *inputs: Masked) -> Masked:
        channels = [masked.x.shape[-1] for masked in inputs]
        shape = (self.kernel, self.kernel, sum(channels), self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape)

        # `where`, not a product: whatever an unknown position holds, NaN included, must not get through.
        x = jnp.concatenate([jnp.where(masked.known > 0, masked.x, 0) for masked in inputs], axis=-1)
        convolved = checkpoint_name(self._convolve(x, kernel.astype(x.dtype)), "conv")  # Eq. 1

        known = sum(masked.known * c for masked, c in zip(inputs, channels, strict=True))
        window = jnp.ones((self.kernel, self.kernel, 1, 1), known.dtype)
        coverage = self._convolve(known, window)  # M
        full = self.kernel**2 * sum(channels)  # E
        seen = coverage > 0
        out = convolved * jnp.where(seen, full / jnp.where(seen, coverage, 1), 0).astype(x.dtype)  # Eq. 4
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
            out = jnp.where(seen, out + bias.astype(x.dtype), 0)  # Eq. 2
        return Masked(out, seen.astype(known.dtype))  # Eq. 3, 5

    def _convolve(self, x: Float[Array, "b h w c"], kernel: Float[Array, "k k c f"]) -> Float[Array, "b h2 w2 f"]:
        padding = [(self.kernel // 2, self.kernel // 2)] * 2
        return jax.lax.conv_general_dilated(x, kernel, (self.stride,) * 2, padding, dimension_numbers=DIMENSIONS)
