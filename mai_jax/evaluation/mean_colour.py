"""The floor under every table: a hole filled with the mean colour of what is known."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from mai_jax.types import Batch


def fill(batch: Batch) -> Float[Array, "b h w 3"]:
    """Every pixel has the mean colour of its image's known pixels; mid-grey, 0.5, where nothing is known."""
    given = batch.known > 0
    pixels = jnp.sum(given, axis=(1, 2), keepdims=True)
    total = jnp.sum(jnp.where(given, batch.image, 0), axis=(1, 2), keepdims=True)
    colour = jnp.where(pixels > 0, total / jnp.maximum(pixels, 1), 0.5)
    return jnp.broadcast_to(colour, batch.image.shape)
