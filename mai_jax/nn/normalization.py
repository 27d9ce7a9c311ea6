"""Batch normalization: its constants, and the variant with separate statistics for valid positions and for the hole."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mai_jax.nn.precision import to_float32

MOMENTUM, EPSILON = 0.9, 1e-5


class RegionNorm(nn.Module):
    """Region-wise batch normalization, named as future work in the paper: valid positions and hole are two regions.

    `valid` is the image's, at the size of the map. Each region has its own mean and variance over the batch, running
    statistics, scale and bias. A region that is empty in a batch keeps its running statistics.
    """

    use_running_average: bool

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], valid: Float[Array, "b h w 1"]) -> Float[Array, "b h w c"]:
        regions = {"valid": valid > 0, "hole": valid == 0}
        normalized = {name: self._region(to_float32(x), inside, name) for name, inside in regions.items()}
        return jnp.where(regions["valid"], normalized["valid"], normalized["hole"]).astype(x.dtype)

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
                for running, of_batch in ((running_mean, mean), (running_var, var)):
                    updated = MOMENTUM * running.value + (1 - MOMENTUM) * of_batch
                    running.value = jnp.where(count > 0, updated, running.value).astype(running.value.dtype)
        return (x - mean) * jax.lax.rsqrt(var + EPSILON) * scale + bias


def _moments(x: Array, inside: Array, count: Array) -> tuple[Float[Array, "c"], Float[Array, "c"]]:
    """Return mean and variance per channel over the positions inside; zeros if there are none."""
    count = jnp.maximum(count, 1)
    mean = jnp.sum(jnp.where(inside, x, 0), (0, 1, 2)) / count
    return mean, jnp.sum(jnp.where(inside, jnp.square(x - mean), 0), (0, 1, 2)) / count
