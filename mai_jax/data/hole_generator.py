"""Irregular holes from a key: free-hand strokes with exactly the wanted share of pixels.

A pen walks over the image, turning slowly, changing its width, and is lifted now and then. Every pixel gets its
distance to the pen's track divided by the pen's width there, and the hole is the wanted number of pixels with the
smallest values. So any ratio costs the same and nothing is rejected; and since the track's length follows the ratio,
that cut falls close to the pen's own outline.

Lengths in this file are in units of the image's shorter side.
"""

import jax.numpy as jnp
from jax import lax, random
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Float32, Int32, PRNGKeyArray

PIECES = 128  # straight pieces of the track: 0.06 long at ratio 0.6, shorter below
THINNEST, THICKER = 0.035, 0.08  # mean width of the pen: THINNEST + THICKER * ratio ...
WIDTH_SPREAD, WIDTH_RATE = 0.5, 8.0  # ... times exp(WIDTH_SPREAD * sine), whose phase moves by WIDTH_RATE per length
SHORTEST, LONGEST = 0.6, 1.4  # length after which the pen is lifted, drawn once per hole
TURN = 2.0  # standard deviation of the turn, in radians, after length 1
MARGIN = 0.04  # how far outside of the image the pen may go before it is reflected
SPREAD = (0.7548777, 0.5698403)  # of a low-discrepancy sequence: strokes start evenly spread, so they form no blob


def draw(key: PRNGKeyArray, shape: tuple[int, int], ratio: ArrayLike) -> Float[Array, "h w 1"]:
    """One `known`: round(ratio * h * w) pixels are hole, for every key. Pure, jittable, vmappable over key and ratio.

    `ratio` in [0, 1] may be traced; the product is rounded in its own precision.
    """
    h, w = shape
    ratio = jnp.asarray(ratio, jnp.promote_types(jnp.result_type(ratio), jnp.float32))
    hole = _smallest(_distance(key, shape, ratio.astype(jnp.float32)), jnp.round(ratio * (h * w)).astype(jnp.int32))
    return 1 - hole[..., None].astype(jnp.float32)


def _distance(key: PRNGKeyArray, shape: tuple[int, int], ratio: Float32[Array, ""]) -> Float32[Array, "h w"]:
    """(distance to the pen's track / width of the pen there) squared, for every pixel."""
    short = min(shape)
    extent = jnp.array(shape, jnp.float32) / short
    y, x = ((jnp.arange(n, dtype=jnp.float32) + 0.5) / short for n in shape)
    start, end, thin_start, thin_end = _track(key, extent, ratio)
    along = end - start
    per_length2 = 1 / jnp.maximum(jnp.sum(along**2, axis=-1), 1e-12)

    def nearer(nearest, piece):
        start, along, per_length2, thin, thinner = piece
        dy, dx = (y - start[0])[:, None], (x - start[1])[None, :]
        t = jnp.clip((dy * along[0] + dx * along[1]) * per_length2, 0, 1)  # foot of the perpendicular
        distance2 = (dy - t * along[0]) ** 2 + (dx - t * along[1]) ** 2
        return jnp.minimum(nearest, distance2 * (thin + t * thinner) ** 2), None

    pieces = (start, along, per_length2, thin_start, thin_end - thin_start)
    # A loop, for a broadcast over pieces is ten times slower on a CPU; unrolled, eight pieces share a pass over memory.
    return lax.scan(nearer, jnp.full(shape, jnp.inf, jnp.float32), pieces, unroll=8)[0]


def _track(key: PRNGKeyArray, extent: Float32[Array, "2"], ratio: Float32[Array, ""]) -> tuple[
        Float32[Array, "p 2"], Float32[Array, "p 2"], Float32[Array, "p"], Float32[Array, "p"]]:
    """The pen's track as straight pieces: where each starts and ends, (y, x), and 1 / width of the pen there."""
    for_length, for_lift, for_place, for_heading, for_turn, for_width = random.split(key, 6)
    width = THINNEST + THICKER * ratio
    # Strokes of total length l dropped at random leave a share exp(-l * width / area) uncovered.
    step = -jnp.log1p(-jnp.minimum(ratio, 0.95)) * jnp.prod(extent) / width / PIECES

    number = jnp.arange(PIECES, dtype=jnp.int32)
    length = random.uniform(for_length, (), jnp.float32, SHORTEST, LONGEST)
    stroke = jnp.floor(number * step / length + random.uniform(for_lift, (), jnp.float32))
    lifted = jnp.diff(stroke, prepend=-1.0) > 0
    first = lax.cummax(jnp.where(lifted, number, 0))  # first piece of the stroke that this piece belongs to

    turn = TURN * jnp.sqrt(step) * random.normal(for_turn, (PIECES,), jnp.float32)
    heading = jnp.cumsum(jnp.where(lifted, _angle(for_heading), turn))
    move = step * jnp.stack([jnp.sin(heading), jnp.cos(heading)], axis=-1)
    before = jnp.cumsum(move, axis=0) - move
    place = jnp.mod(random.uniform(for_place, (2,), jnp.float32) + stroke[:, None] * jnp.array(SPREAD, jnp.float32), 1)
    start = before + (place * extent - before)[first]

    phase = jnp.cumsum(jnp.where(lifted, _angle(for_width), WIDTH_RATE * step))
    thin_start, thin_end = (jnp.exp(-WIDTH_SPREAD * jnp.sin(p)) / width for p in (phase, phase + WIDTH_RATE * step))
    return _reflect(start, extent), _reflect(start + move, extent), thin_start, thin_end


def _angle(key: PRNGKeyArray) -> Float32[Array, "p"]:
    return random.uniform(key, (PIECES,), jnp.float32, 0, 2 * jnp.pi)


def _reflect(place: Float32[Array, "p 2"], extent: Float32[Array, "2"]) -> Float32[Array, "p 2"]:
    """Folds a place outside of the image, margin included, back into it."""
    span = extent + 2 * MARGIN
    folded = jnp.mod(place + MARGIN, 2 * span)
    return jnp.minimum(folded, 2 * span - folded) - MARGIN


def _smallest(values: Float32[Array, "h w"], count: Int32[Array, ""]) -> Bool[Array, "h w"]:
    """True at exactly `count` pixels, those with the smallest values; of equal ones, the first. `values` >= 0.

    Bisection for the count-th smallest: the bits of non-negative floats, read as integers, are in the same order.
    """
    bits = lax.bitcast_convert_type(values, jnp.int32)

    def halve(_, bounds):
        low, high = bounds
        middle = low + (high - low) // 2
        enough = jnp.sum(bits <= middle, dtype=jnp.int32) >= count
        return jnp.where(enough, low, middle + 1), jnp.where(enough, middle, high)

    _, cut = lax.fori_loop(0, 31, halve, (jnp.int32(0), jnp.int32(0x7F800000)))
    below, equal = bits < cut, bits == cut
    rank = jnp.cumsum(equal.reshape(-1), dtype=jnp.int32).reshape(equal.shape)
    return below | (equal & (rank <= count - jnp.sum(below, dtype=jnp.int32)))
