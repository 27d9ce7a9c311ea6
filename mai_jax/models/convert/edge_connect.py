"""The state dicts of EdgeConnect's public PyTorch implementation as our parameters."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mai_jax.config import Config, Discriminator, Generator
from mai_jax.models.base import ByPlayer
from mai_jax.models.convert.originals import Source, Tensors
from mai_jax.models.edge_connect import BLOCKS, EdgeConnect
from mai_jax.types import Batch

# Networks are named as the players of `EdgeConnect`.
SOURCES = {
    "edge-generator": Source("edge_generator", "EdgeModel_gen.pth"),
    "image-generator": Source("generator", "InpaintingModel_gen.pth"),
    "edge-discriminator": Source("edge_discriminator", "EdgeModel_dis.pth", paints=False),
    "image-discriminator": Source("discriminator", "InpaintingModel_dis.pth", paints=False),
}
# Our layer: their module. Both generators share one table, both discriminators the other.
GENERATOR = {
    "encode_1": "encoder.1", "encode_2": "encoder.4", "encode_3": "encoder.7",
    **{f"block_{i + 1}_dilated": f"middle.{i}.conv_block.1" for i in range(BLOCKS)},
    **{f"block_{i + 1}": f"middle.{i}.conv_block.5" for i in range(BLOCKS)},
    "decode_1": "decoder.0", "decode_2": "decoder.3", "decode_3": "decoder.7",
}  # fmt: skip
DISCRIMINATOR = {f"conv{i}": f"conv{i}.0" for i in range(1, 6)}
SECOND_NAME = {"conv1.0": "features.0"}  # a discriminator's first layer is stored under both
TRANSPOSED = {"decode_1", "decode_2"}


def config(networks: Mapping[str, Tensors]) -> Config:
    """The config of a method as wide as these networks."""
    made = Config(method="edge_connect", generator=Generator(width=networks["generator"].width("encoder.1.bias")))
    for player in {"edge_discriminator", "discriminator"} & set(networks):
        width = networks[player].width("conv1.0.weight_orig", "features.0.weight_orig")
        made.discriminator = Discriminator(width=width)
    return made


def from_torch(networks: Mapping[str, Tensors], config: Config) -> tuple[ByPlayer, ByPlayer]:
    """(params, stats) of those players of `EdgeConnect(config)` that are there.

    With spectral normalisation ours computes the norm of a kernel anew from the stored vector u, where theirs, when it
    paints, takes u and v as stored: the same once power iteration has converged. Where edges are known ours keeps them,
    where theirs paints by what its edge generator draws everywhere. Raises InputError for a tensor that is missing,
    unknown, or of another shape.
    """
    batch = Batch(*(jax.ShapeDtypeStruct((1, 32, 32, channels), jnp.float32) for channels in (3, 1)))
    params, stats = jax.eval_shape(EdgeConnect(config).init, jax.random.key(0), batch)
    converted = {player: _convert(player, theirs, params[player], stats[player])
                 for player, theirs in networks.items()}  # fmt: skip
    return tuple({player: both[i] for player, both in converted.items()} for i in range(2))


def _convert(player: str, theirs: Tensors, params: Any, stats: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    new_params, new_stats = {}, {}
    for layer, module in (GENERATOR if player.endswith("generator") else DISCRIMINATOR).items():
        names = [name for name in (module, SECOND_NAME.get(module)) if name]

        def take(leaf: str, *shape: int, names: list[str] = names) -> np.ndarray:
            return theirs.take(shape, *(f"{name}.{leaf}" for name in names))

        height, width, before, after = params[layer]["kernel"].shape
        channels = (before, after) if layer in TRANSPOSED else (after, before)
        spectral = f"{layer}_norm" in stats
        weight = take("weight_orig" if spectral else "weight", *channels, height, width)
        new_params[layer] = {"kernel": _kernel(layer, weight)}
        if "bias" in params[layer]:
            new_params[layer]["bias"] = take("bias", after)
        if spectral:
            u, v = take("weight_u", after), take("weight_v", before * height * width)
            matrix = np.moveaxis(weight, 1 if layer in TRANSPOSED else 0, 0).reshape(after, -1)
            sigma = np.asarray(u @ matrix @ v)
            new_stats[f"{layer}_norm"] = {f"{layer}/kernel/u": u[None], f"{layer}/kernel/sigma": sigma}
    theirs.finish()
    return new_params, new_stats


def _kernel(layer: str, weight: np.ndarray) -> np.ndarray:
    """Their weight as our kernel [height, width, in, out]; a transposed convolution reads theirs back to front."""
    if layer in TRANSPOSED:
        return np.ascontiguousarray(weight[:, :, ::-1, ::-1].transpose(2, 3, 0, 1))
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0))
