"""VGG-16: the features of the perceptual and the style loss (Eq. 13-15), and those of LPIPS."""

import functools
import logging
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mai_jax import config as config_lib
from mai_jax.nn import weights
from mai_jax.nn.precision import narrow

log = logging.getLogger(__name__)

# The ImageNet statistics with which the public weights were trained.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# One block a line, max pooling between them. name here: (position in torchvision's `features`, multiple of the width)
BLOCKS = (
    {"conv1_1": (0, 1), "conv1_2": (2, 1)},
    {"conv2_1": (5, 2), "conv2_2": (7, 2)},
    {"conv3_1": (10, 4), "conv3_2": (12, 4), "conv3_3": (14, 4)},
    {"conv4_1": (17, 8), "conv4_2": (19, 8), "conv4_3": (21, 8)},
    {"conv5_1": (24, 8), "conv5_2": (26, 8), "conv5_3": (28, 8)},
)
POOLED = BLOCKS[:3]  # what Eq. 13-15 need

HUB = weights.Pinned(
    repo_id="timm/vgg16.tv_in1k",
    filename="model.safetensors",
    revision="b8d8aa2dd860af9233c8c67385a8097fd6c35d3f",
    sha256="57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8",
)
KIND = "VGG-16 weights in torchvision's naming"


class VGG16Features(nn.Module):
    """Images in [0, 1] to the maps after pool1, pool2 and pool3."""

    width: int = 64
    dtype: str = "float32"  # of the activations

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"]) -> tuple[Float[Array, "b h2 w2 c"], ...]:
        x = narrow((images - jnp.array(MEAN, images.dtype)) / jnp.array(STD, images.dtype), self.dtype)
        pooled = []
        for block in POOLED:
            x = _pool(_convolve(x, block, self.width))
            pooled.append(x)
        return tuple(pooled)


class VGG16Rectified(nn.Module):
    """Images, already normalised, to relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3."""

    width: int = 64

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"]) -> tuple[Float[Array, "b _ _ c"], ...]:
        rectified = [_convolve(images, BLOCKS[0], self.width)]
        for block in BLOCKS[1:]:
            rectified.append(_convolve(_pool(rectified[-1]), block, self.width))
        return tuple(rectified)


def _convolve(x: Float[Array, "b h w c"], block: dict[str, tuple[int, int]], width: int) -> Float[Array, "b h w c2"]:
    for name, (_, multiple) in block.items():
        x = nn.relu(nn.Conv(width * multiple, (3, 3), padding=1, dtype=x.dtype, name=name)(x))
    return x


def _pool(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    return nn.max_pool(x, (2, 2), (2, 2))


def load(path: str | Path, *, whole: bool = False) -> dict[str, Any]:
    """Parameters of `VGG16Features()`, or if `whole` of `VGG16Rectified()`, from a .safetensors file in torchvision's
    naming; other tensors are left alone.

    Raises InputError for a file that is missing, damaged, or holds other shapes.
    """
    layers = _layers(BLOCKS if whole else POOLED)
    shapes, channels = {}, 3
    for position, multiple in layers.values():
        shapes[f"features.{position}.weight"] = (64 * multiple, channels, 3, 3)
        shapes[f"features.{position}.bias"] = (64 * multiple,)
        channels = 64 * multiple
    tensors = weights.read(Path(path), shapes, KIND)
    return {name: {"kernel": tensors[f"features.{position}.weight"].transpose(2, 3, 1, 0),
                   "bias": tensors[f"features.{position}.bias"]}
            for name, (position, _) in layers.items()}  # fmt: skip


def fetch(flag: str = "--config.vgg16.weights") -> Path:
    """The ImageNet weights from the Hugging Face hub; `flag` is named to those who cannot reach it."""
    return weights.fetch(HUB, "VGG-16 weights", flag)


def random_params(seed: int, width: int = 64) -> dict[str, Any]:
    """Untrained parameters (He initialisation): a stand-in for tests and the quickstart, no measure of perception."""
    rng = np.random.default_rng(seed)
    params, channels = {}, 3
    for name, (_, multiple) in _layers(POOLED).items():
        shape = (3, 3, channels, width * multiple)
        kernel = rng.standard_normal(shape, np.float32) * np.sqrt(2 / (9 * channels), dtype=np.float32)
        params[name] = {"kernel": kernel, "bias": np.zeros(shape[-1], np.float32)}
        channels = shape[-1]
    return params


def _layers(blocks: tuple[dict[str, tuple[int, int]], ...]) -> dict[str, tuple[int, int]]:
    return {name: place for block in blocks for name, place in block.items()}


def from_config(config: config_lib.VGG16) -> dict[str, Any]:
    """The parameters that the config names: "hub", "random", or a file. Read once per process."""
    return _named(config.weights, config.width)


@functools.cache
def _named(source: str, width: int) -> dict[str, Any]:
    if source == "random":
        log.warning(
            "VGG-16 has RANDOM weights (config.vgg16.weights=random): perceptual and style loss mean little; "
            "never publish numbers of such a run"
        )
        return random_params(0, width)
    return load(fetch() if source == "hub" else source)
