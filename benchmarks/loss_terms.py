"""The size of every term of Eq. 22, times its published weight, for two simple predictions.

python -m benchmarks.loss_terms --images=DIR --size=64 --vgg16=FILE

The predictions are the mean colour and the biharmonic fill of 12 images with hole ratios of 5 to 55 %, with noise of
standard deviation .02 everywhere. The perceptual and the style term are given for VGG-16 with images in [0, 1] and
with ImageNet's normalization.
"""

import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import records
from mai_jax import losses
from mai_jax.batch import Batch, complete
from mai_jax.cli import app
from mai_jax.cli.arguments import Parser, integer
from mai_jax.config import VGG16, Losses
from mai_jax.data import images, strokes
from mai_jax.evaluation.classical import METHODS
from mai_jax.files import find_images, read_file
from mai_jax.models.base import weighted_sum
from mai_jax.nn import vgg

NUM_IMAGES, RATIOS, NOISE = 12, (0.05, 0.55), 0.02


def main() -> None:
    parser = Parser(prog="python -m benchmarks.loss_terms", description=__doc__)
    parser.add_argument("--images", metavar="DIR", required=True, help="folder of images")
    parser.add_argument("--size", type=integer(at_least=16), default=64, help="image size, in pixels")
    parser.add_argument("--vgg16", metavar="SOURCE", default="hub", help="as --config.vgg16.weights")
    given = parser.parse()
    app.enable_compilation_cache()
    names = find_images(given.images, "--images")[:NUM_IMAGES]
    pixels = np.stack([_read(f"{given.images}/{name}", given.size) for name in names])
    rngs, ratios = jax.random.split(jax.random.key(0), len(names)), jnp.linspace(*RATIOS, len(names))
    valid = jax.vmap(strokes.draw, (0, None, 0))(rngs, (given.size, given.size), ratios)
    batch = Batch(jnp.asarray(pixels, jnp.float32) / 255, valid)
    params = vgg.from_config(vgg.VGG16_POOLED, VGG16(weights=given.vgg16))
    figures = {}
    for method in ("mean_colour", "biharmonic"):
        filled = np.stack([METHODS[method](*pair) for pair in zip(pixels, np.asarray(valid)[..., 0] == 0, strict=True)])
        noise = NOISE * np.random.default_rng(0).standard_normal(filled.shape)
        figures[method] = terms(jnp.asarray(np.clip(filled / 255 + noise, 0, 1), jnp.float32), batch, params)
        print(method, "  ".join(f"{name} {value}" for name, value in figures[method].items()))
    records.append("loss_terms", {"images": len(names), "size_px": given.size, **figures})


def terms(raw: jax.Array, batch: Batch, params: dict[str, Any]) -> dict[str, float]:
    """Return the weighted terms by name."""
    found = {"hole": losses.hole_l1(raw, batch), "valid": losses.valid_l1(raw, batch),
             "total_variation": losses.total_variation(complete(raw, batch), batch)}  # fmt: skip
    weighted = {name: weighted_sum({name: term}, Losses()) for name, term in found.items()}
    for normalize in (False, True):
        features = jax.jit(vgg.VGG16Features(normalize=normalize).apply)
        predicted, truth = (features({"params": params}, image) for image in (raw, batch.image))
        suffix = "normalized" if normalize else "[0,1]"
        for term in (losses.perceptual, losses.style):
            value = weighted_sum({term.__name__: term(predicted, truth)}, Losses())
            weighted[f"{term.__name__} {suffix}"] = value
    return {name: round(float(value), 4) for name, value in weighted.items()}


def _read(path: str, size: int) -> np.ndarray:
    return images.resize_crop(images.decode(read_file(Path(path)), path), size, size, (0.5, 0.5))


if __name__ == "__main__":
    sys.exit(app.run(main))
