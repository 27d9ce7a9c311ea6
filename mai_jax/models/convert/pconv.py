"""The state dict of a public PyTorch implementation of PConv as parameters and statistics of `PublicPConv`.

Their partial convolution divides by how many values of a window are known, ours by the share of them: dividing each
kernel by the size of its window, k * k * channels, gives every layer the same numbers, and so the normalisation, whose
statistics stay as they are. Their first layer has no bias; ours gets zeros.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from mai_jax.config import Config, Generator
from mai_jax.models.base import ByPlayer
from mai_jax.models.convert.originals import Source, Tensors
from mai_jax.models.pconv_public import LEVELS, PublicPConv
from mai_jax.types import Batch, InputError

SOURCES = {"generator": Source("generator", "1000000.pth")}
# Our layer: their module.
LAYERS = {f"{ours}_{level}": f"{theirs}_{level}" for ours, theirs in (("encode", "enc"), ("decode", "dec"))
          for level in range(1, LEVELS + 1)}  # fmt: skip


def config(networks: Mapping[str, Tensors]) -> Config:
    """The config of a method as wide as this network."""
    width = networks["generator"].width("enc_1.conv.input_conv.weight")
    return Config(method="pconv_public", generator=Generator(width=width))


def from_torch(networks: Mapping[str, Tensors], config: Config) -> tuple[ByPlayer, ByPlayer]:
    """(params, stats) of `PublicPConv(config)`.

    Raises InputError for a tensor that is missing, unknown or of another shape, and for a layer that does not count
    what is known.
    """
    size = 2**LEVELS
    batch = Batch(*(jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32) for channels in (3, 1)))
    shapes, _ = jax.eval_shape(PublicPConv(config).init, jax.random.key(0), batch)
    theirs, params, stats = networks["generator"], {}, {}
    for layer, module in LAYERS.items():
        height, width, before, after = shapes["generator"][layer]["kernel"].shape
        weight, counts = (theirs.take((after, before, height, width), f"{module}.conv.{part}.weight")
                          for part in ("input_conv", "mask_conv"))  # fmt: skip
        if (counts != 1).any():
            raise InputError(f"{theirs.where}: tensor {module}.conv.mask_conv.weight is not 1 everywhere; "
                             "give a network that counts the known pixels")
        params[layer] = {"kernel": weight.transpose(2, 3, 1, 0) / (height * width * before)}
        if layer == "encode_1":
            params[layer]["bias"] = np.zeros(after, np.float32)
        elif layer == "decode_1":
            params[layer]["bias"] = theirs.take((after,), f"{module}.conv.input_conv.bias")
        else:
            scale, bias, mean, var = (theirs.take((after,), f"{module}.bn.{name}")
                                      for name in ("weight", "bias", "running_mean", "running_var"))  # fmt: skip
            theirs.ignore(f"{module}.bn.num_batches_tracked")
            params[f"{layer}_norm"], stats[f"{layer}_norm"] = {"scale": scale, "bias": bias}, {"mean": mean, "var": var}
    theirs.finish()
    return {"generator": params}, {"generator": stats}
