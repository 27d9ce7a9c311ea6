"""Holes for a batch, on device: drawn strokes, or the mask files of a folder."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float

from mai_jax.config import Holes
from mai_jax.data import hole_files, hole_generator

DRAWN = "drawn"


class Hiding(NamedTuple):
    """`sample(bank, key, n)` makes `known` of n images, [n, h, w, 1], inside jit.

    The bank is data, passed in so that it is no constant of the compiled program.
    """

    bank: Any
    sample: Callable[[Any, Array, int], Float[Array, "b h w 1"]]


def sampler(where: str, holes: Holes, size: int) -> Hiding:
    """Holes of `size` x `size`, with ratios in [min_ratio, max_ratio].

    `where` is "drawn" (ratios uniform) or a folder of mask files, of which those with such ratios are used, rotated and
    flipped.
    """
    if where != DRAWN:
        return Hiding(hole_files.load(where, size, holes).bits, _sample_files)

    def sample_drawn(bank: Any, key: Array, n: int) -> Float[Array, "b h w 1"]:
        ratio_key, stroke_key = jax.random.split(key)
        ratios = jax.random.uniform(ratio_key, (n,), minval=holes.min_ratio, maxval=holes.max_ratio)
        return jax.vmap(hole_generator.draw, (0, None, 0))(jax.random.split(stroke_key, n), (size, size), ratios)

    return Hiding((), sample_drawn)


def _sample_files(bank: Array, key: Array, n: int) -> Float[Array, "b h w 1"]:
    return jax.vmap(hole_files.draw_from, (None, 0))(bank, jax.random.split(key, n))
