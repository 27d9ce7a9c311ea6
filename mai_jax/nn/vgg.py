"""VGG-16 and VGG-19: the features of the perceptual and style losses (Eq. 13-15), of EdgeConnect's and of LPIPS."""

import functools
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mai_jax import config as config_lib
from mai_jax.errors import InputError
from mai_jax.nn import lpips_jax, weights
from mai_jax.nn.max_pool import max_pool
from mai_jax.nn.precision import to_compute_dtype

log = logging.getLogger(__name__)

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet statistics, with which the weights were trained

WEIGHTS_FLAG = "--config.vgg16.weights"

Block = dict[str, tuple[int, int]]  # layer name -> (index in torchvision's `features`, multiple of the width)
Map = Float[Array, "b _ _ _"]


@dataclass(frozen=True, eq=False)
class Network:
    """The convolutions of a network up to some depth, and where all of its weights are published."""

    name: str
    blocks: tuple[Block, ...]  # with max pooling between them
    hub: weights.Pinned
    packaged: lpips_jax.PackagedFile | None = None

    @property
    def layers(self) -> Block:
        return {name: place for block in self.blocks for name, place in block.items()}

    @property
    def kind(self) -> str:
        """What a weight file must hold, for error messages."""
        return f"{self.name} weights in torchvision's naming"


VGG16 = Network("VGG-16", (
    {"conv1_1": (0, 1), "conv1_2": (2, 1)},
    {"conv2_1": (5, 2), "conv2_2": (7, 2)},
    {"conv3_1": (10, 4), "conv3_2": (12, 4), "conv3_3": (14, 4)},
    {"conv4_1": (17, 8), "conv4_2": (19, 8), "conv4_3": (21, 8)},
    {"conv5_1": (24, 8), "conv5_2": (26, 8), "conv5_3": (28, 8)},
), weights.Pinned(
    repo_id="timm/vgg16.tv_in1k",
    filename="model.safetensors",
    revision="b8d8aa2dd860af9233c8c67385a8097fd6c35d3f",
    sha256="57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8",
), lpips_jax.VGG16)  # fmt: skip
VGG16_POOLED = replace(VGG16, blocks=VGG16.blocks[:3])  # the layers that Eq. 13-15 need
VGG19 = Network("VGG-19", (
    {"conv1_1": (0, 1), "conv1_2": (2, 1)},
    {"conv2_1": (5, 2), "conv2_2": (7, 2)},
    {"conv3_1": (10, 4), "conv3_2": (12, 4), "conv3_3": (14, 4), "conv3_4": (16, 4)},
    {"conv4_1": (19, 8), "conv4_2": (21, 8), "conv4_3": (23, 8), "conv4_4": (25, 8)},
    {"conv5_1": (28, 8), "conv5_2": (30, 8)},
), weights.Pinned(
    repo_id="timm/vgg19.tv_in1k",
    filename="model.safetensors",
    revision="128d4708565b3a414bcbb9bbad440b2fe37b9f18",
    sha256="11aea017b543ff59233749d8f1cf544cda749378f5790d2fedab841fb86b7669",
))  # fmt: skip


class VGG16Features(nn.Module):
    """Images in [0, 1] to the maps after pool1, pool2 and pool3.

    With `normalize`, ImageNet's mean and standard deviation are applied first. The published weights of Eq. 22 go with
    images as they are: see docs/paper_map.md.
    """

    width: int = 64
    dtype: str = "float32"  # of the activations
    normalize: bool = True

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"]) -> tuple[Map, ...]:
        if self.normalize:
            images = (images - jnp.array(MEAN, images.dtype)) / jnp.array(STD, images.dtype)
        x, pooled = to_compute_dtype(images, self.dtype), []
        for block in VGG16_POOLED.blocks:
            x = max_pool(_block(x, block, self.width))
            pooled.append(x)
        return tuple(pooled)


class VGG16Rectified(nn.Module):
    """Normalized images to relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3."""

    width: int = 64

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"]) -> tuple[Map, ...]:
        rectified = [_block(images, VGG16.blocks[0], self.width)]
        for block in VGG16.blocks[1:]:
            rectified.append(_block(max_pool(rectified[-1]), block, self.width))
        return tuple(rectified)


class VGG19Rectified(nn.Module):
    """Images in [0, 1] to the rectified maps of every layer up to conv5_2, by the layer's name.

    EdgeConnect's losses use the images as they are, without ImageNet normalization.
    """

    width: int = 64
    dtype: str = "float32"  # of the activations

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"]) -> dict[str, Map]:
        x, rectified = to_compute_dtype(images, self.dtype), {}
        for i, block in enumerate(VGG19.blocks):
            x = max_pool(x) if i else x
            for name, (_, multiple) in block.items():
                x = rectified[name] = _layer(x, name, self.width * multiple)
        return rectified


def _block(x: Map, block: Block, width: int) -> Map:
    for name, (_, multiple) in block.items():
        x = _layer(x, name, width * multiple)
    return x


def _layer(x: Float[Array, "b h w c"], name: str, features: int) -> Float[Array, "b h w c2"]:
    return nn.relu(nn.Conv(features, (3, 3), padding=1, dtype=x.dtype, name=name)(x))


def load(network: Network, path: str | Path) -> dict[str, Any]:
    """Return parameters from a .safetensors file in torchvision's naming; other tensors are ignored.

    Raises InputError for a file that is missing, damaged, or holds other shapes.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    channels = 3
    for position, multiple in network.layers.values():
        shapes[f"features.{position}.weight"] = (64 * multiple, channels, 3, 3)
        shapes[f"features.{position}.bias"] = (64 * multiple,)
        channels = 64 * multiple
    tensors = weights.read(Path(path), shapes, network.kind)
    return {name: {"kernel": tensors[f"features.{position}.weight"].transpose(2, 3, 1, 0),
                   "bias": tensors[f"features.{position}.bias"]}
            for name, (position, _) in network.layers.items()}  # fmt: skip


def from_package(network: Network) -> dict[str, Any]:
    """Return the ImageNet weights in the installed package lpips-jax.

    Raises InputError if the package is not installed or does not have this network.
    """
    if network.packaged is None:
        raise InputError(f"{WEIGHTS_FLAG}={lpips_jax.SOURCE}: the package has no {network.name}, which EdgeConnect "
                         f"needs; give {WEIGHTS_FLAG}=hub or a file, or set both weights of its VGG terms, "
                         "edge_connect.perceptual and edge_connect.style, to 0")
    return dict(zip(network.layers, lpips_jax.read(network.packaged).convolutions, strict=False))


def fetch(network: Network, flag: str = WEIGHTS_FLAG, package_flag: str = WEIGHTS_FLAG) -> Path:
    """Return the path of the ImageNet weights, fetched from the Hugging Face hub if they are not in its cache.

    For users without a network the error names `flag`, which takes a file, and `package_flag`, which takes "lpips-jax".
    """
    alternative = f"{lpips_jax.INSTALL} and give {package_flag}={lpips_jax.SOURCE}" if network.packaged else ""
    return weights.fetch(network.hub, f"{network.name} weights", flag, alternative)


def random_params(network: Network, seed: int, width: int) -> dict[str, Any]:
    """Return untrained parameters (He initialization), for tests and the quickstart; not a perceptual measure."""
    rng = np.random.default_rng(seed)
    params, channels = {}, 3
    for name, (_, multiple) in network.layers.items():
        shape = (3, 3, channels, width * multiple)
        kernel = rng.standard_normal(shape, np.float32) * np.sqrt(2 / (9 * channels), dtype=np.float32)
        params[name] = {"kernel": kernel, "bias": np.zeros(shape[-1], np.float32)}
        channels = shape[-1]
    return params


def from_config(network: Network, config: config_lib.VGG16) -> dict[str, Any]:
    """Return the parameters that the config names: "hub", "lpips-jax", "random", or a file. Read once per process."""
    return _from_source(network, config.weights, config.width)


@functools.cache
def _from_source(network: Network, source: str, width: int) -> dict[str, Any]:
    if source == "random":
        log.warning(
            "%s has RANDOM weights (config.vgg16.weights=random): perceptual and style loss mean little; "
            "never publish numbers of such a run", network.name
        )
        return random_params(network, 0, width)
    if source == lpips_jax.SOURCE:
        return from_package(network)
    return load(network, fetch(network) if source == "hub" else source)
