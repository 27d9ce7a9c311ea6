"""Push-pull interpolation: a smooth fill of the hole from the valid pixels, without parameters.

Gortler et al., "The Lumigraph" (1996): average the valid pixels at ever coarser scales, then fill each scale's missing
pixels from the next coarser one.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

MID_GREY = 0.5  # where no pixel of the image is valid


def push_pull(image: Float[Array, "b h w c"], valid: Float[Array, "b h w 1"], levels: int) -> Float[Array, "b h w c"]:
    """Return the image with its hole filled smoothly; valid pixels are unchanged and the hole's content is not read.

    `h` and `w` are multiples of 2^levels. What is still missing at the coarsest scale becomes the mean of the valid
    pixels, or mid-grey if there are none.
    """
    image = jnp.where(valid > 0, image, 0)
    if levels == 0:
        count = valid.sum((1, 2), keepdims=True)
        mean = jnp.where(count > 0, image.sum((1, 2), keepdims=True) / jnp.maximum(count, 1), MID_GREY)
        return jnp.where(valid > 0, image, mean)
    count = _sum_blocks(valid)
    coarse = _sum_blocks(image) / jnp.maximum(count, 1)
    filled = push_pull(coarse, (count > 0).astype(valid.dtype), levels - 1)
    return jnp.where(valid > 0, image, jax.image.resize(filled, image.shape, "bilinear"))


def _sum_blocks(x: Float[Array, "b h w c"]) -> Float[Array, "b h//2 w//2 c"]:
    """Return the sums over blocks of 2x2 pixels."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).sum((2, 4))
