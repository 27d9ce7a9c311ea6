"""Random irregular holes: free-form strokes with an exact hole ratio.

A pen moves over the image in a random walk with slowly changing direction and width, and is lifted from time to time.
Every pixel gets its distance to the track of the pen divided by the width of the pen at that point; the hole is the
required number of pixels with the smallest values. Every ratio costs the same, without rejection sampling. The length
of the track follows from the ratio, so that this threshold is close to the outline of the strokes.

Lengths in this file are in units of the shorter side of the image.
"""

import jax.numpy as jnp
from jax import lax, random
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Float32, Int32, PRNGKeyArray

SEGMENTS = 128  # straight segments of the track, each of length 0.06 at ratio 0.6 and shorter below
WIDTH, WIDTH_SLOPE = 0.035, 0.08  # mean width of the pen: WIDTH + WIDTH_SLOPE * ratio, ...
WIDTH_SPREAD, WIDTH_RATE = 0.5, 8.0  # ... times exp(WIDTH_SPREAD * sine) with WIDTH_RATE radians per unit of length
MIN_STROKE, MAX_STROKE = 0.6, 1.4  # length of a stroke; one value per hole
TURN = 2.0  # standard deviation of the change of direction, in radians, over length 1
MARGIN = 0.04  # distance that the pen may move outside of the image before it is reflected
R2 = (0.7548777, 0.5698403)  # of the R2 low-discrepancy sequence: spreads the starts of strokes, which avoids blobs


def draw(key: PRNGKeyArray, shape: tuple[int, int], ratio: ArrayLike) -> Float[Array, "h w 1"]:
    """Return `valid` with exactly round(ratio * h * w) hole pixels. Pure, jittable, vmappable over key and ratio.

    `ratio` in [0, 1] may be traced; the product is computed in its precision.
    """
    return at_ratio(_distance(key, shape, jnp.asarray(ratio, jnp.float32)), ratio)


def at_ratio(values: Float32[Array, "h w"], ratio: ArrayLike) -> Float[Array, "h w 1"]:
    """Return `valid` whose hole is the round(ratio * h * w) pixels with the smallest values, which are >= 0."""
    h, w = values.shape
    ratio = jnp.asarray(ratio, jnp.promote_types(jnp.result_type(ratio), jnp.float32))
    hole = _smallest(values, jnp.round(ratio * (h * w)).astype(jnp.int32))
    return 1 - hole[..., None].astype(jnp.float32)


def _distance(key: PRNGKeyArray, shape: tuple[int, int], ratio: Float32[Array, ""]) -> Float32[Array, "h w"]:
    """Return, for every pixel, (distance to the track of the pen / width of the pen there) squared."""
    short = min(shape)
    extent = jnp.array(shape, jnp.float32) / short
    y, x = ((jnp.arange(n, dtype=jnp.float32) + 0.5) / short for n in shape)
    start, end, start_scale, end_scale = _track(key, extent, ratio)
    along = end - start
    per_length2 = 1 / jnp.maximum(jnp.sum(along**2, axis=-1), 1e-12)

    def update(nearest, segment):
        start, along, per_length2, scale, scale_change = segment
        dy, dx = (y - start[0])[:, None], (x - start[1])[None, :]
        t = jnp.clip((dy * along[0] + dx * along[1]) * per_length2, 0, 1)  # foot of the perpendicular
        distance2 = (dy - t * along[0]) ** 2 + (dx - t * along[1]) ** 2
        return jnp.minimum(nearest, distance2 * (scale + t * scale_change) ** 2), None

    segments = (start, along, per_length2, start_scale, end_scale - start_scale)
    # A loop: broadcasting over segments is ten times slower on CPU. Unrolled, eight segments share a pass over memory.
    return lax.scan(update, jnp.full(shape, jnp.inf, jnp.float32), segments, unroll=8)[0]


def _track(key: PRNGKeyArray, extent: Float32[Array, "2"], ratio: Float32[Array, ""]) -> tuple[
        Float32[Array, "p 2"], Float32[Array, "p 2"], Float32[Array, "p"], Float32[Array, "p"]]:
    """Return the straight segments of the track: start and end as (y, x), and 1 / width of the pen at both."""
    length_key, lift_key, position_key, heading_key, turn_key, width_key = random.split(key, 6)
    width = WIDTH + WIDTH_SLOPE * ratio
    # Randomly placed strokes of total length l leave a share exp(-l * width / area) of the image uncovered.
    step = -jnp.log1p(-jnp.minimum(ratio, 0.95)) * jnp.prod(extent) / width / SEGMENTS

    index = jnp.arange(SEGMENTS, dtype=jnp.int32)
    length = random.uniform(length_key, (), jnp.float32, MIN_STROKE, MAX_STROKE)
    stroke = jnp.floor(index * step / length + random.uniform(lift_key, (), jnp.float32))
    lifted = jnp.diff(stroke, prepend=-1.0) > 0
    first = lax.cummax(jnp.where(lifted, index, 0))  # index of the first segment of the same stroke

    turn = TURN * jnp.sqrt(step) * random.normal(turn_key, (SEGMENTS,), jnp.float32)
    heading = jnp.cumsum(jnp.where(lifted, _angle(heading_key), turn))
    move = step * jnp.stack([jnp.sin(heading), jnp.cos(heading)], axis=-1)
    before = jnp.cumsum(move, axis=0) - move
    origin = jnp.mod(random.uniform(position_key, (2,), jnp.float32) + stroke[:, None] * jnp.array(R2, jnp.float32), 1)
    start = before + (origin * extent - before)[first]

    phase = jnp.cumsum(jnp.where(lifted, _angle(width_key), WIDTH_RATE * step))
    start_scale, end_scale = (jnp.exp(-WIDTH_SPREAD * jnp.sin(p)) / width for p in (phase, phase + WIDTH_RATE * step))
    return _reflect(start, extent), _reflect(start + move, extent), start_scale, end_scale


def _angle(key: PRNGKeyArray) -> Float32[Array, "p"]:
    return random.uniform(key, (SEGMENTS,), jnp.float32, 0, 2 * jnp.pi)


def _reflect(position: Float32[Array, "p 2"], extent: Float32[Array, "2"]) -> Float32[Array, "p 2"]:
    """Return the positions reflected at the borders of the image, enlarged by MARGIN."""
    span = extent + 2 * MARGIN
    folded = jnp.mod(position + MARGIN, 2 * span)
    return jnp.minimum(folded, 2 * span - folded) - MARGIN


def _smallest(values: Float32[Array, "h w"], count: Int32[Array, ""]) -> Bool[Array, "h w"]:
    """Return True at the `count` pixels with the smallest values, the first ones of equal values. `values` >= 0.

    Finds the count-th smallest by bisection: non-negative floats have the same order as their bits read as integers.
    """
    bits = lax.bitcast_convert_type(values, jnp.int32)

    def halve(_, bounds):
        low, high = bounds
        middle = low + (high - low) // 2
        enough = jnp.sum(bits <= middle, dtype=jnp.int32) >= count
        return jnp.where(enough, low, middle + 1), jnp.where(enough, middle, high)

    _, threshold = lax.fori_loop(0, 31, halve, (jnp.int32(0), jnp.int32(0x7F800000)))
    below, equal = bits < threshold, bits == threshold
    rank = jnp.cumsum(equal.reshape(-1), dtype=jnp.int32).reshape(equal.shape)
    return below | (equal & (rank <= count - jnp.sum(below, dtype=jnp.int32)))
