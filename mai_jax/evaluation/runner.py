"""Measures a checkpoint: paint, complete, round to uint8, compare; one record per photograph and hole."""

import itertools
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8
from tqdm import tqdm

from mai_jax.config import Config
from mai_jax.data import hole_generator, pipeline, sources
from mai_jax.data import holes as hole_sources
from mai_jax.data.holes import DRAWN
from mai_jax.evaluation import mean_colour, metrics, ratio_bins
from mai_jax.inference import Inpainter
from mai_jax.types import Batch
from mai_jax.visualize import to_uint8

Images = UInt8[np.ndarray, "b h w 3"]
Holes = Bool[np.ndarray, "b h w"]


class Example(NamedTuple):
    """A photograph, a hole in it, what was painted, and the record of how good that is.

    The record holds `id`, `hole_ratio`, `psnr`, `ssim`, `l1` of the whole completed photograph, and the same three
    under "mean_colour" for a hole filled with the mean of the known pixels.
    """

    image: UInt8[np.ndarray, "h w 3"]
    hole: Bool[np.ndarray, "h w"]
    painted: UInt8[np.ndarray, "h w 3"]
    record: dict[str, Any]


def evaluate(inpainter: Inpainter, source: sources.Source) -> Iterator[Example]:
    """Every photograph of the source with as many holes as there are ratio bins.

    Drawn holes fall one into each bin, mask files where they may; which ones depends on the config and the
    photograph's id only. Images of the batch are one photograph with its holes, so memory does not grow with the set.
    """
    size = inpainter.config.image_size
    holes_of = _hole_drawer(inpainter.config)
    for name, image in tqdm(pipeline.test_images(source, size), total=len(source), desc="evaluating"):
        holes = holes_of(name)
        images = np.stack([image] * len(holes))
        painted = inpainter.batch(images, holes)
        own, floor = _measure(painted, images), _measure(_fill_mean_colour(images, holes), images)
        for i, hole in enumerate(holes):
            record = {"id": name, "hole_ratio": float(hole.mean()), **own[i], "mean_colour": floor[i]}
            yield Example(image, hole, painted[i], record)


def _hole_drawer(config: Config) -> Callable[[str], Holes]:
    """From a photograph's id to its holes."""
    size, edges = config.image_size, config.evaluation.edges
    n = len(edges) - 1
    if config.holes.test == DRAWN:
        counts = np.array([ratio_bins.counts_in_bin(lo, hi, size**2) for lo, hi in itertools.pairwise(edges)])

        @jax.jit
        def sample(key: Array) -> Float[Array, "b h w 1"]:
            count_key, stroke_key = jax.random.split(key)
            count = jax.random.randint(count_key, (n,), counts[:, 0], counts[:, 1] + 1)
            keys = jax.random.split(stroke_key, n)
            return jax.vmap(hole_generator.draw, (0, None, 0))(keys, (size, size), count / size**2)
    else:
        hiding = hole_sources.sampler(config.holes.test, config.holes, size)
        sample = jax.jit(lambda key: hiding.sample(hiding.bank, key, n))

    seed = jax.random.key(config.evaluation.seed)
    return lambda name: np.asarray(sample(jax.random.fold_in(seed, zlib.crc32(name.encode()))))[..., 0] == 0


def _fill_mean_colour(images: Images, holes: Holes) -> Images:
    batch = Batch(images.astype(np.float32) / 255, 1 - holes[..., None].astype(np.float32))
    return np.where(holes[..., None], to_uint8(np.asarray(mean_colour.fill(batch))), images)


def _measure(painted: Images, truth: Images) -> list[dict[str, float]]:
    a, b = painted.astype(np.float32) / 255, truth.astype(np.float32) / 255
    columns = {"psnr": metrics.psnr(a, b), "ssim": metrics.ssim(a, b), "l1": metrics.l1(a, b)}
    return [{name: float(column[i]) for name, column in columns.items()} for i in range(len(a))]
