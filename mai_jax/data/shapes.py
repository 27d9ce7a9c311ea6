"""Random holes of other shapes than strokes, each with an exact hole ratio: blobs, as of segments, and boxes.

Every pixel gets a value that grows outwards from a centre; the hole is the required number of pixels with the smallest
values. A hole that reaches the border of the image continues on its other sides.
"""

import jax.numpy as jnp
from jax import random
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from mai_jax.data.strokes import at_ratio

HARMONICS = 5  # waves of a blob's outline: its radius as a function of the angle
WAVE = 0.3  # standard deviation of the first wave, relative to the radius; the k-th is WAVE / k
LONGEST = 3.0  # largest ratio of the sides of a box
MARGIN = 0.2  # the centre is at least this far from the border, relative to each side of the image


def draw_blob(key: PRNGKeyArray, shape: tuple[int, int], ratio: ArrayLike) -> Float[Array, "h w 1"]:
    """Return `valid` with exactly round(ratio * h * w) hole pixels in one blob. Pure, jittable, vmappable."""
    centre_key, wave_key, phase_key = random.split(key, 3)
    dy, dx = _from_centre(centre_key, shape)
    order = jnp.arange(1, HARMONICS + 1, dtype=jnp.float32)
    wave = WAVE / order * random.normal(wave_key, (HARMONICS,), jnp.float32)
    phase = random.uniform(phase_key, (HARMONICS,), jnp.float32, 0, 2 * jnp.pi)
    angle = jnp.arctan2(dy, dx)
    radius = 1 + sum(wave[i] * jnp.cos(order[i] * angle + phase[i]) for i in range(HARMONICS))
    return at_ratio(jnp.hypot(dy, dx) / jnp.maximum(radius, 0.2), ratio)


def draw_box(key: PRNGKeyArray, shape: tuple[int, int], ratio: ArrayLike) -> Float[Array, "h w 1"]:
    """Return `valid` with exactly round(ratio * h * w) hole pixels in one box; its last row or column may be partial.

    Pure, jittable, vmappable.
    """
    centre_key, side_key = random.split(key)
    dy, dx = _from_centre(centre_key, shape)
    longer = random.uniform(side_key, (), jnp.float32, -1, 1)
    stretch = LONGEST ** (longer / 2)
    return at_ratio(jnp.maximum(jnp.abs(dy) * stretch, jnp.abs(dx) / stretch), ratio)


def _from_centre(key: PRNGKeyArray, shape: tuple[int, int]) -> tuple[Float[Array, "h w"], Float[Array, "h w"]]:
    """Return the distances (y, x) of every pixel from a random centre, in pixels."""
    h, w = shape
    centre = random.uniform(key, (2,), jnp.float32, MARGIN, 1 - MARGIN) * jnp.array([h, w], jnp.float32)
    y, x = (jnp.arange(n, dtype=jnp.float32) + 0.5 for n in shape)
    return jnp.broadcast_to((y - centre[0])[:, None], shape), jnp.broadcast_to((x - centre[1])[None], shape)
