"""Images at another size."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def resize(images: Float[Array, "b h w c"], size: tuple[int, int]) -> Float[Array, "b h2 w2 c"]:
    """Bilinear interpolation between the nearest pixels, without smoothing; the corners stay the corners.

    This is what PyTorch calls `align_corners=True`.
    """
    for axis, length in zip((1, 2), size, strict=True):
        last = images.shape[axis] - 1
        at = np.linspace(0, last, length) if length > 1 else np.zeros(1)
        low = np.floor(at).astype(int)
        share = jnp.asarray((at - low).reshape((-1, 1) if axis == 2 else (-1, 1, 1)), images.dtype)
        images = (1 - share) * images.take(low, axis) + share * images.take(np.minimum(low + 1, last), axis)
    return images
