"""Squeeze-and-excitation, Eq. 9-11: weight each channel by a function of all channels' means."""

import flax.linen as nn
from jaxtyping import Array, Float

from mai_jax.nn.precision import to_float32


class SqueezeExcite(nn.Module):
    """Weights in (0, 1) for the channels of `u`, computed from their means over the map; initially close to 1/2."""

    reduction: int = 16

    @nn.compact
    def __call__(self, u: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        channels = u.shape[-1]
        z = to_float32(u).mean(axis=(1, 2), keepdims=True)  # Eq. 9
        excite = nn.Dense(channels, use_bias=False, kernel_init=nn.initializers.normal(1e-3), name="excite")
        hidden = nn.relu(nn.Dense(max(channels // self.reduction, 1), use_bias=False, name="squeeze")(z))
        w = nn.sigmoid(excite(hidden))  # Eq. 10
        return u * w.astype(u.dtype)  # Eq. 11
