"""Sampling of training holes on device: random strokes, blobs and boxes, or the mask files of a folder."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mai_jax.config import Holes
from mai_jax.data import mask_files, shapes, strokes

DRAWN = "drawn"


class HoleSampler(NamedTuple):
    """Samples `valid` for a batch: `sample(mask_bank, rng, n) -> [n, h, w, 1]`, inside jit.

    `mask_bank` is an argument rather than a constant of the compiled program, because it can be hundreds of megabytes.
    It is an empty tuple for drawn holes.
    """

    mask_bank: Any
    sample: Callable[[Any, Array, int], Float[Array, "b h w 1"]]


def make_hole_sampler(source: str, holes: Holes, size: int) -> HoleSampler:
    """Return a sampler of `size` x `size` holes with hole ratios in [min_ratio, max_ratio].

    `source` is "drawn" or a folder of mask files. Drawn holes have uniform ratios; the shares `holes.blobs` and
    `holes.boxes` of them are blobs and boxes, the others strokes. Mask files whose ratio is outside the range are
    skipped, the others are rotated and flipped at random. Raises InputError for an unusable folder.
    """
    if source != DRAWN:
        return HoleSampler(mask_files.load(source, size, holes).bits, _sample_files)

    def sample_drawn(mask_bank: Any, rng: Array, n: int) -> Float[Array, "b h w 1"]:
        ratio_rng, stroke_rng = jax.random.split(rng)
        ratios = jax.random.uniform(ratio_rng, (n,), minval=holes.min_ratio, maxval=holes.max_ratio)
        drawn = jax.vmap(strokes.draw, (0, None, 0))(jax.random.split(stroke_rng, n), (size, size), ratios)
        return _with_shapes(drawn, rng, ratios, holes) if holes.blobs or holes.boxes else drawn

    return HoleSampler((), sample_drawn)


def _with_shapes(
    drawn: Float[Array, "b h w 1"], rng: Array, ratios: Float[Array, "b"], holes: Holes
) -> Float[Array, "b h w 1"]:
    """Return the strokes with the configured shares of them replaced by blobs and boxes of the same ratios."""
    n, h, w, _ = drawn.shape
    # Not split again: the strokes stay those of a run without shapes.
    kind_rng, blob_rng, box_rng = (jax.random.fold_in(rng, i) for i in range(3))
    blobs, boxes = (jax.vmap(draw, (0, None, 0))(jax.random.split(own, n), (h, w), ratios)
                    for draw, own in ((shapes.draw_blob, blob_rng), (shapes.draw_box, box_rng)))
    chosen = jax.random.uniform(kind_rng, (n, 1, 1, 1))
    return jnp.where(chosen < holes.blobs, blobs, jnp.where(chosen < holes.blobs + holes.boxes, boxes, drawn))


def _sample_files(mask_bank: Array, rng: Array, n: int) -> Float[Array, "b h w 1"]:
    return jax.vmap(mask_files.sample_valid, (None, 0))(mask_bank, jax.random.split(rng, n))
