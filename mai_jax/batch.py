"""The data types shared by all modules: a batch, a feature map with its validity, and a completion.

Images are float32 RGB in [0, 1], channels last. `valid` is {0, 1} with 1 = pixel given; `hole = 1 - valid`.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class Batch(NamedTuple):
    """Photographs, and which of their pixels are given.

    `image` is the ground truth in [0, 1], `valid` is {0, 1}. A model may read `image` only where `valid` is 1, a loss
    everywhere.
    """

    image: Float[Array, "b h w 3"]
    valid: Float[Array, "b h w 1"]


class Masked(NamedTuple):
    """A feature map and the positions at which it is valid: the mask as explicit state.

    The content of `x` where `valid` is 0 is arbitrary and never read.
    """

    x: Float[Array, "b h w c"]
    valid: Float[Array, "b h w 1"]


class Completion(NamedTuple):
    """The output of a model for a batch.

    `raw` is the prediction of all pixels, not clipped; `image` is `complete(raw, batch)`; `aux` holds named
    intermediates (attention maps, features), which jit does not compute if they are not used.
    """

    raw: Float[Array, "b h w 3"]
    image: Float[Array, "b h w 3"]
    aux: dict[str, Any]


def complete(raw: Float[Array, "b h w 3"], batch: Batch) -> Float[Array, "b h w 3"]:
    """Return the given pixels of `batch`, bit for bit, with `raw` in the hole."""
    return jnp.where(batch.valid > 0, batch.image, raw)
