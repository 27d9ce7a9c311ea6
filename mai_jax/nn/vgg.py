"""What VGG-16 and VGG-19 share: their layers, and where their weights come from."""

import functools
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flax.linen as nn
import numpy as np
from jaxtyping import Array, Float

from mai_jax import config as config_lib
from mai_jax.nn import weights
from mai_jax.nn.max_pool import max_pool

log = logging.getLogger(__name__)

Block = dict[str, tuple[int, int]]  # name here: (position in torchvision's `features`, multiple of the width)


@dataclass(frozen=True, eq=False)
class Network:
    """The convolutions of a network up to some depth, and where the weights of all of it are published."""

    name: str
    blocks: tuple[Block, ...]  # max pooling between them
    hub: weights.Pinned

    @property
    def layers(self) -> Block:
        return {name: place for block in self.blocks for name, place in block.items()}

    @property
    def kind(self) -> str:
        """What a file must hold, as messages put it."""
        return f"{self.name} weights in torchvision's naming"


def convolve(x: Float[Array, "b h w c"], name: str, features: int) -> Float[Array, "b h w c2"]:
    """One layer, rectified."""
    return nn.relu(nn.Conv(features, (3, 3), padding=1, dtype=x.dtype, name=name)(x))


def pool(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    return max_pool(x)


def load(network: Network, path: str | Path) -> dict[str, Any]:
    """Parameters from a .safetensors file in torchvision's naming; other tensors are left alone.

    Raises InputError for a file that is missing, damaged, or holds other shapes.
    """
    shapes, channels = {}, 3
    for position, multiple in network.layers.values():
        shapes[f"features.{position}.weight"] = (64 * multiple, channels, 3, 3)
        shapes[f"features.{position}.bias"] = (64 * multiple,)
        channels = 64 * multiple
    tensors = weights.read(Path(path), shapes, network.kind)
    return {name: {"kernel": tensors[f"features.{position}.weight"].transpose(2, 3, 1, 0),
                   "bias": tensors[f"features.{position}.bias"]}
            for name, (position, _) in network.layers.items()}  # fmt: skip


def fetch(network: Network, flag: str = "--config.vgg16.weights") -> Path:
    """The ImageNet weights from the Hugging Face hub; `flag` is named to those who cannot reach it."""
    return weights.fetch(network.hub, f"{network.name} weights", flag)


def random_params(network: Network, seed: int, width: int) -> dict[str, Any]:
    """Untrained parameters (He initialisation): a stand-in for tests and the quickstart, no measure of perception."""
    rng = np.random.default_rng(seed)
    params, channels = {}, 3
    for name, (_, multiple) in network.layers.items():
        shape = (3, 3, channels, width * multiple)
        kernel = rng.standard_normal(shape, np.float32) * np.sqrt(2 / (9 * channels), dtype=np.float32)
        params[name] = {"kernel": kernel, "bias": np.zeros(shape[-1], np.float32)}
        channels = shape[-1]
    return params


def from_config(network: Network, config: config_lib.VGG16) -> dict[str, Any]:
    """The parameters that the config names: "hub", "random", or a file. Read once per process."""
    return _named(network, config.weights, config.width)


@functools.cache
def _named(network: Network, source: str, width: int) -> dict[str, Any]:
    if source == "random":
        log.warning(
            "%s has RANDOM weights (config.vgg16.weights=random): perceptual and style loss mean little; "
            "never publish numbers of such a run", network.name
        )
        return random_params(network, 0, width)
    return load(network, fetch(network) if source == "hub" else source)
