"""Convert the state dict of a public PyTorch implementation of PConv to the variables of `PublicPConv`.

The source's partial convolution divides by the number of valid values in a window, `PartialConv` by their share.
Dividing each kernel by the size of its window, k * k * channels, gives every layer the same output, so BatchNorm's
statistics are unchanged. The source's first layer has no bias; it is converted to zeros.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from mai_jax.batch import Batch
from mai_jax.config import Config, Generator
from mai_jax.convert.state_dict import Source, Tensors
from mai_jax.errors import InputError
from mai_jax.models.base import Variables
from mai_jax.models.pconv import PUBLIC_DEPTH, PublicPConv

SOURCES = {"generator": Source("generator", "1000000.pth")}
# Converted layer: source module.
LAYERS = {f"{layer}_{level}": f"{module}_{level}" for layer, module in (("encode", "enc"), ("decode", "dec"))
          for level in range(1, PUBLIC_DEPTH + 1)}  # fmt: skip


def config(networks: Mapping[str, Tensors]) -> Config:
    """Return a config with the width of this network."""
    width = networks["generator"].width("enc_1.conv.input_conv.weight")
    return Config(method="pconv_public", generator=Generator(width=width))


def from_torch(networks: Mapping[str, Tensors], config: Config) -> Variables:
    """Return the variables of `PublicPConv(config)`.

    Raises InputError for a tensor that is missing, unknown or of another shape, and for a mask convolution with other
    weights than 1.
    """
    size = 2**PUBLIC_DEPTH
    batch = Batch(*(  # type: ignore[arg-type]  # shapes instead of arrays
        jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32) for channels in (3, 1)))
    shapes = jax.eval_shape(PublicPConv(config).init, jax.random.key(0), batch)["params"]
    source, params, batch_stats = networks["generator"], {}, {}
    for layer, module in LAYERS.items():
        height, width, into, out = shapes["generator"][layer]["kernel"].shape
        weight, mask_weight = (source.take((out, into, height, width), f"{module}.conv.{part}.weight")
                               for part in ("input_conv", "mask_conv"))  # fmt: skip
        if (mask_weight != 1).any():
            raise InputError(f"{source.where}: tensor {module}.conv.mask_conv.weight is not 1 everywhere; "
                             "give a network that counts the valid pixels")
        params[layer] = {"kernel": weight.transpose(2, 3, 1, 0) / (height * width * into)}
        if layer == "encode_1":
            params[layer]["bias"] = np.zeros(out, np.float32)
        elif layer == "decode_1":
            params[layer]["bias"] = source.take((out,), f"{module}.conv.input_conv.bias")
        else:
            scale, bias, mean, var = (source.take((out,), f"{module}.bn.{name}")
                                      for name in ("weight", "bias", "running_mean", "running_var"))  # fmt: skip
            source.ignore(f"{module}.bn.num_batches_tracked")
            params[f"{layer}_norm"] = {"scale": scale, "bias": bias}
            batch_stats[f"{layer}_norm"] = {"mean": mean, "var": var}
    source.finish()
    return {"params": {"generator": params}, "batch_stats": {"generator": batch_stats}}
