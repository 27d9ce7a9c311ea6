"""Batch normalisation of a masked feature map, over all positions or over given and missing ones apart."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mai_jax.nn.precision import wide

MOMENTUM, EPSILON = 0.9, 1e-5


class RegionNorm(nn.Module):
    """Region-wise normalisation, the paper's future work: given and missing positions have statistics of their own.

    `known` is the image's at the map's size. Each region has its mean and variance over the batch, its running
    statistics, scale and bias; a batch in which a region is empty leaves the region's running statistics alone.
    """

    use_running_average: bool

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], known: Float[Array, "b h w 1"]) -> Float[Array, "b h w c"]:
        regions = {"known": known > 0, "hole": known == 0}
        normalised = {name: self._region(wide(x), inside, name) for name, inside in regions.items()}
        return jnp.where(regions["known"], normalised["known"], normalised["hole"]).astype(x.dtype)

    def _region(self, x: Float[Array, "b h w c"], inside: Array, name: str) -> Float[Array, "b h w c"]:
        channels = x.shape[-1]
        running_mean = self.variable("batch_stats", f"{name}_mean", jnp.zeros, (channels,))
        running_var = self.variable("batch_stats", f"{name}_var", jnp.ones, (channels,))
        scale = self.param(f"{name}_scale", nn.initializers.ones_init(), (channels,))
        bias = self.param(f"{name}_bias", nn.initializers.zeros_init(), (channels,))
        if self.use_running_average:
            mean, var = running_mean.value, running_var.value
        else:
            count = jnp.sum(inside)
            mean, var = _moments(x, inside, count)
            if not self.is_initializing():
                for running, now in ((running_mean, mean), (running_var, var)):
                    moved = MOMENTUM * running.value + (1 - MOMENTUM) * now
                    running.value = jnp.where(count > 0, moved, running.value).astype(running.value.dtype)
        return (x - mean) * jax.lax.rsqrt(var + EPSILON) * scale + bias


def _moments(x: Array, inside: Array, count: Array) -> tuple[Float[Array, "c"], Float[Array, "c"]]:
    """Mean and variance per channel over the positions inside; 0 and 0 if there are none."""
    count = jnp.maximum(count, 1)
    mean = jnp.sum(jnp.where(inside, x, 0), (0, 1, 2)) / count
    return mean, jnp.sum(jnp.where(inside, jnp.square(x - mean), 0), (0, 1, 2)) / count
