"""Partial convolution, Eq. 1-5: convolve what is known, renormalise by how much was known, update the mask."""

import flax.linen as nn
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from mai_jax.nn.convolution import convolve, convolve_enlarged, enlarge
from mai_jax.types import Masked


class PartialConv(nn.Module):
    """Partial convolution over one or more feature maps, each with its own one-channel `known`.

    Called with maps `[b, h, w, c_i]`, returns `[b, ceil(h / stride), ceil(w / stride), features]`. The inputs count as
    concatenated along the channels, and a position's coverage weighs each `known` by the channels it speaks for: the
    numbers of a mask with one channel per feature, at the cost of a one-channel sum. Zero padding counts as unknown, so
    borders are renormalised too. Where nothing is known the output is zero and stays unknown. With
    `enlarge_first` the first of two maps is enlarged twofold to the size of the second (kernel 3, stride 1).
    """

    features: int
    kernel: int = 3
    stride: int = 1
    use_bias: bool = True

    @nn.compact
    def __call__(self, *inputs: Masked, enlarge_first: bool = False) -> Masked:
        channels = [masked.x.shape[-1] for masked in inputs]
        shape = (self.kernel, self.kernel, sum(channels), self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape)

        # `where`, not a product: whatever an unknown position holds, NaN included, must not get through.
        maps = [jnp.where(masked.known > 0, masked.x, 0) for masked in inputs]
        knowns = [masked.known for masked in inputs]
        kernel = kernel.astype(maps[0].dtype)
        if enlarge_first:
            convolved = convolve_enlarged(*maps, kernel)
            knowns[0] = enlarge(knowns[0])
        else:
            convolved = convolve(jnp.concatenate(maps, -1), kernel, self.stride, self.kernel // 2)
        convolved = checkpoint_name(convolved, "conv")  # Eq. 1

        known = sum(known * c for known, c in zip(knowns, channels, strict=True))
        window = jnp.ones((self.kernel, self.kernel, 1, 1), known.dtype)
        coverage = convolve(known, window, self.stride, self.kernel // 2)  # M
        full = self.kernel**2 * sum(channels)  # E
        seen = coverage > 0
        out = convolved * jnp.where(seen, full / jnp.where(seen, coverage, 1), 0).astype(convolved.dtype)  # Eq. 4
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
            out = jnp.where(seen, out + bias.astype(out.dtype), 0)  # Eq. 2
        return Masked(out, seen.astype(known.dtype))  # Eq. 3, 5
