"""VGG-19: the features of EdgeConnect's perceptual and style loss [21]."""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from mai_jax import config as config_lib
from mai_jax.nn import vgg, weights
from mai_jax.nn.precision import narrow

NETWORK = vgg.Network("VGG-19", (
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


class VGG19Rectified(nn.Module):
    """Images to the rectified maps of every layer up to conv5_2, by the layer's name.

    The images are in [0, 1] and stay so: unlike VGG-16's loss, this one forgoes ImageNet's normalisation.
    """

    width: int = 64
    dtype: str = "float32"  # of the activations

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"]) -> dict[str, Float[Array, "b _ _ _"]]:
        x, rectified = narrow(images, self.dtype), {}
        for i, block in enumerate(NETWORK.blocks):
            x = vgg.pool(x) if i else x
            for name, (_, multiple) in block.items():
                x = rectified[name] = vgg.convolve(x, name, self.width * multiple)
        return rectified


def from_config(config: config_lib.VGG16) -> dict[str, Any]:
    """The parameters that the config names: "hub", "random", or a file."""
    return vgg.from_config(NETWORK, config)
