"""VGG-16: the features of the perceptual and the style loss (Eq. 13-15), and those of LPIPS."""

from pathlib import Path
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from mai_jax import config as config_lib
from mai_jax.nn import vgg, weights
from mai_jax.nn.precision import narrow

# The ImageNet statistics with which the public weights were trained.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

HUB = weights.Pinned(
    repo_id="timm/vgg16.tv_in1k",
    filename="model.safetensors",
    revision="b8d8aa2dd860af9233c8c67385a8097fd6c35d3f",
    sha256="57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8",
)
WHOLE = vgg.Network("VGG-16", (
    {"conv1_1": (0, 1), "conv1_2": (2, 1)},
    {"conv2_1": (5, 2), "conv2_2": (7, 2)},
    {"conv3_1": (10, 4), "conv3_2": (12, 4), "conv3_3": (14, 4)},
    {"conv4_1": (17, 8), "conv4_2": (19, 8), "conv4_3": (21, 8)},
    {"conv5_1": (24, 8), "conv5_2": (26, 8), "conv5_3": (28, 8)},
), HUB)  # fmt: skip
POOLED = vgg.Network("VGG-16", WHOLE.blocks[:3], HUB)  # what Eq. 13-15 need


class VGG16Features(nn.Module):
    """Images in [0, 1] to the maps after pool1, pool2 and pool3."""

    width: int = 64
    dtype: str = "float32"  # of the activations

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"]) -> tuple[Float[Array, "b h2 w2 c"], ...]:
        x = narrow((images - jnp.array(MEAN, images.dtype)) / jnp.array(STD, images.dtype), self.dtype)
        pooled = []
        for block in POOLED.blocks:
            x = vgg.pool(_convolve(x, block, self.width))
            pooled.append(x)
        return tuple(pooled)


class VGG16Rectified(nn.Module):
    """Images, already normalised, to relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3."""

    width: int = 64

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"]) -> tuple[Float[Array, "b _ _ c"], ...]:
        rectified = [_convolve(images, WHOLE.blocks[0], self.width)]
        for block in WHOLE.blocks[1:]:
            rectified.append(_convolve(vgg.pool(rectified[-1]), block, self.width))
        return tuple(rectified)


def _convolve(x: Float[Array, "b h w c"], block: vgg.Block, width: int) -> Float[Array, "b h w c2"]:
    for name, (_, multiple) in block.items():
        x = vgg.convolve(x, name, width * multiple)
    return x


def load(path: str | Path, *, whole: bool = False) -> dict[str, Any]:
    """Parameters of `VGG16Features()`, or if `whole` of `VGG16Rectified()`; see `vgg.load`."""
    return vgg.load(WHOLE if whole else POOLED, path)


def fetch(flag: str = "--config.vgg16.weights") -> Path:
    """The ImageNet weights from the Hugging Face hub; `flag` is named to those who cannot reach it."""
    return vgg.fetch(WHOLE, flag)


def random_params(seed: int, width: int = 64) -> dict[str, Any]:
    """Untrained parameters of `VGG16Features(width)`."""
    return vgg.random_params(POOLED, seed, width)


def from_config(config: config_lib.VGG16) -> dict[str, Any]:
    """The parameters of `VGG16Features` that the config names: "hub", "random", or a file."""
    return vgg.from_config(POOLED, config)
