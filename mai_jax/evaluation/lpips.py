"""LPIPS, the learned perceptual distance of Zhang et al. 2018, in its version 0.1 on VGG-16."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mai_jax.nn import vgg16, weights

Images = Float[Array | np.ndarray, "b h w 3"]
Map = Float[Array, "b _ _ _"]

# Its own normalisation, for images in [-1, 1].
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
EPSILON = 1e-10  # added to the length of a feature vector
SMALLEST = 16  # pixels; below, the deepest map is empty
CHANNELS = (64, 128, 256, 512, 512)

HUB = weights.Pinned(
    repo_id="vivym/lpips",
    filename="vgg_lpips_linear.safetensors",
    revision="270571f1fb2a2c4c5f920cec96cd87838c345982",
    sha256="0c6387bf2e51e434dedbc0ca4c5894f605c415b8d128bfe720e13456eb4333ac",
)
HEAD_NAMES = ("lin{}.model.1.weight", "{}.weight")  # of the original package, of the pinned file
KIND = "the five linear heads of LPIPS on VGG-16"


@jax.jit
def distance(params: dict[str, Any], a: Images, b: Images) -> Float[Array, "b"]:
    """The distance of each pair of images in [0, 1], of at least 16 x 16 pixels: 0 for identical ones, below about 1.

    `params` are what `load` returns. Raises ValueError for smaller images.
    """
    height, width = a.shape[1:3]
    if min(height, width) < SMALLEST:
        raise ValueError(f"LPIPS needs at least {SMALLEST} x {SMALLEST} pixels, these images have {height} x {width}")
    with jax.default_matmul_precision("highest"):  # accelerators otherwise round the factors to 8 or 10 bits
        pairs = zip(_features(params["vgg16"], a), _features(params["vgg16"], b), params["heads"], strict=True)
        return sum(_apart(*pair) for pair in pairs)


def _features(params: dict[str, Any], images: Images) -> tuple[Map, ...]:
    dtype = jnp.promote_types(images.dtype, jnp.float32)
    images = 2 * jnp.asarray(images, dtype) - 1
    normalised = (images - jnp.array(SHIFT, dtype)) / jnp.array(SCALE, dtype)
    return vgg16.VGG16Rectified().apply({"params": params}, normalised)


def _apart(a: Float[Array, "b h w c"], b: Float[Array, "b h w c"], head: Float[Array, "c"]) -> Float[Array, "b"]:
    """Weighted squared difference of the feature vectors' directions, mean over positions."""
    return jnp.mean(jnp.square(_direction(a) - _direction(b)) @ head, axis=(1, 2))


def _direction(features: Map) -> Map:
    return features / (jnp.sqrt(jnp.sum(jnp.square(features), axis=-1, keepdims=True)) + EPSILON)


def load(vgg16_file: str | Path, heads_file: str | Path) -> dict[str, Any]:
    """Parameters of `distance` from two .safetensors files: ImageNet's VGG-16 in torchvision's naming, and the heads
    in the naming of the original package or of the pinned file.

    Raises InputError for a file that is missing, damaged, or holds other shapes.
    """
    heads_file = Path(heads_file)
    there = weights.names(heads_file, KIND)
    naming = next((naming for naming in HEAD_NAMES if naming.format(0) in there), HEAD_NAMES[0])
    shapes = {naming.format(i): (1, channels, 1, 1) for i, channels in enumerate(CHANNELS)}
    heads = weights.read(heads_file, shapes, KIND)
    return {
        "vgg16": vgg16.load(vgg16_file, whole=True),
        "heads": [jnp.asarray(heads[name].reshape(-1)) for name in shapes],
    }


def load_or_fetch(vgg16_file: str | None, heads_file: str | None) -> dict[str, Any]:
    """`load` of these files; one that is None is fetched once from the Hugging Face hub at a pinned revision, kept in
    its cache and checked. Raises InputError, naming the flag that takes the file by hand.
    """
    return load(vgg16_file or vgg16.fetch("--lpips_vgg16"), heads_file or weights.fetch(HUB, KIND, "--lpips_heads"))
