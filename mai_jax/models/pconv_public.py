"""PConv as its public PyTorch implementation has it: the U-Net of [20] at another depth, in another range of colours.

It has seven levels whatever the image size, and its images have mean 0 and standard deviation 1 over ImageNet: a hole
is the mean colour to it. Neither can be expressed by other weights of `PConv`, as a mean that is subtracted from the
known pixels only does not turn into a bias where a window is known in part.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from mai_jax import config as config_lib
from mai_jax.models.base import ByPlayer, pad_with_hole
from mai_jax.models.pconv_unet import PConv
from mai_jax.nn.vgg16 import MEAN, STD
from mai_jax.types import Batch, Completion, InputError, complete

LEVELS = 7

Images = Float[Array, "b h w 3"]


class PublicPConv(PConv):
    """The method of the weights that `models.convert.pconv` converts. It can be trained on."""

    def __init__(self, config: config_lib.Config, phase: str = "train") -> None:
        super().__init__(config, phase)
        if config.image_size < 2**LEVELS:
            raise InputError(f"config.image_size={config.image_size}: must be {2**LEVELS} or more for {LEVELS} levels")
        self.depth = LEVELS
        self.generator = self.network(config.generator, LEVELS, config.dtype)

    def init(self, key: Array, batch: Batch) -> tuple[ByPlayer, ByPlayer]:
        return super().init(key, pad_with_hole(batch, 2**LEVELS))

    def generate(self, params: ByPlayer, stats: ByPlayer, batch: Batch) -> tuple[Images, Any]:
        raw, new_stats = super().generate(params, stats, _normalised(batch))
        return _colours(raw), new_stats

    def paint(self, params: ByPlayer, stats: ByPlayer, batch: Batch, key: Array) -> Completion:
        painted = super().paint(params, stats, _normalised(batch), key)
        raw = _colours(painted.raw)
        return Completion(raw, complete(raw, batch), painted.aux)


def _normalised(batch: Batch) -> Batch:
    image = batch.image
    return batch._replace(image=(image - jnp.array(MEAN, image.dtype)) / jnp.array(STD, image.dtype))


def _colours(normalised: Images) -> Images:
    return normalised * jnp.array(STD, normalised.dtype) + jnp.array(MEAN, normalised.dtype)
