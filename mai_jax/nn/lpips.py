"""LPIPS, the learned perceptual distance of Zhang et al. 2018, version 0.1 on VGG-16 or AlexNet."""

from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mai_jax.nn import alexnet, lpips_jax, vgg, weights

Images = Float[Array | np.ndarray, "b h w 3"]
Map = Float[Array, "b _ _ _"]

# Input normalisation of LPIPS, for images in [-1, 1]; it differs from that of torchvision's networks.
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
EPSILON = 1e-10  # added to the norm of a feature vector
CHANNELS = (64, 128, 256, 512, 512)  # of VGG-16

HUB = weights.Pinned(
    repo_id="vivym/lpips",
    filename="vgg_lpips_linear.safetensors",
    revision="270571f1fb2a2c4c5f920cec96cd87838c345982",
    sha256="0c6387bf2e51e434dedbc0ca4c5894f605c415b8d128bfe720e13456eb4333ac",
)
PACKAGE_FLAG = "--lpips-weights"
HEAD_NAMES = ("lin{}.model.1.weight", "{}.weight")  # in the original package, in the pinned file
KIND = "the five linear heads of LPIPS on VGG-16"


class Backbone(NamedTuple):
    """A network whose features LPIPS compares."""

    module: nn.Module
    min_side: int  # pixels; for smaller images the deepest feature map is empty
    metric: str  # the name of the distance in records


BACKBONES = {
    "vgg": Backbone(vgg.VGG16Rectified(), 16, "lpips"),
    "alex": Backbone(alexnet.AlexNetRectified(), 31, "lpips_alex"),
}


@jax.jit
def distance(params: dict[str, Any], a: Images, b: Images) -> Float[Array, "b"]:
    """Return the distance of each pair of images in [0, 1]: 0 for identical images, rarely above 1.

    `params` are those of `load` or `from_package`. Raises ValueError for images smaller than 16 x 16 pixels, with
    AlexNet 31 x 31.
    """
    height, width = a.shape[1:3]
    network, least = backbone(params), BACKBONES[backbone(params)].min_side
    if min(height, width) < least:
        raise ValueError(f"LPIPS needs at least {least} x {least} pixels, these images have {height} x {width}")
    with jax.default_matmul_precision("highest"):  # the default on accelerators rounds to 8 or 10 bits
        of_a, of_b = (_features(BACKBONES[network].module, params[network], images) for images in (a, b))
        pairs = zip(of_a, of_b, params["heads"], strict=True)
        return sum(_layer_distance(*pair) for pair in pairs)  # type: ignore[return-value]


def backbone(params: dict[str, Any]) -> str:
    """Return the key of BACKBONES that the parameters belong to."""
    return next(name for name in BACKBONES if name in params)


def _features(module: nn.Module, params: dict[str, Any], images: Images) -> tuple[Map, ...]:
    dtype = jnp.promote_types(images.dtype, jnp.float32)
    images = 2 * jnp.asarray(images, dtype) - 1
    normalised = (images - jnp.array(SHIFT, dtype)) / jnp.array(SCALE, dtype)
    return module.apply({"params": params}, normalised)  # type: ignore[return-value]


def _layer_distance(
    a: Float[Array, "b h w c"], b: Float[Array, "b h w c"], head: Float[Array, "c"]
) -> Float[Array, "b"]:
    """Return the weighted squared difference of the normalised feature vectors, averaged over positions."""
    return jnp.mean(jnp.square(_normalise(a) - _normalise(b)) @ head, axis=(1, 2))


def _normalise(features: Map) -> Map:
    return features / (jnp.sqrt(jnp.sum(jnp.square(features), axis=-1, keepdims=True)) + EPSILON)


def load(vgg16_file: str | Path, heads_file: str | Path) -> dict[str, Any]:
    """Return the parameters of `distance` from two .safetensors files.

    The first holds the VGG-16 of ImageNet with torchvision's names, the second the linear heads with the names of the
    original package or of the pinned file. Raises InputError if a file is missing, damaged, or has other shapes.
    """
    heads_file = Path(heads_file)
    names = weights.names(heads_file, KIND)
    naming = next((naming for naming in HEAD_NAMES if naming.format(0) in names), HEAD_NAMES[0])
    shapes = {naming.format(i): (1, channels, 1, 1) for i, channels in enumerate(CHANNELS)}
    heads = weights.read(heads_file, shapes, KIND)
    return {
        "vgg": vgg.load(vgg.VGG16, vgg16_file),
        "heads": [jnp.asarray(heads[name].reshape(-1)) for name in shapes],
    }


def load_or_fetch(vgg16_file: str | None, heads_file: str | None) -> dict[str, Any]:
    """Return `load` of these files; a file that is None is downloaded from the Hugging Face hub.

    Downloads are pinned to a revision, checked by SHA-256 and cached. Raises InputError, which names the flag for a
    local file, if a download fails.
    """
    alternative = f"{lpips_jax.INSTALL} and give {PACKAGE_FLAG}={lpips_jax.SOURCE}"
    return load(vgg16_file or vgg.fetch(vgg.VGG16, "--lpips-vgg16", PACKAGE_FLAG),
                heads_file or weights.fetch(HUB, KIND, "--lpips-heads", alternative))


def from_package(network: str) -> dict[str, Any]:
    """Return the parameters of `distance` on a key of BACKBONES, from the installed package lpips-jax.

    Raises InputError if the package is not installed or has other content.
    """
    found = lpips_jax.read({"vgg": lpips_jax.VGG16, "alex": lpips_jax.ALEXNET}[network])
    layers = {"vgg": tuple(vgg.VGG16.layers), "alex": tuple(alexnet.LAYERS)}[network]
    return {network: dict(zip(layers, found.convolutions, strict=True)), "heads": found.heads}
