"""Convert the state dicts of EdgeConnect's public PyTorch implementation to the variables of `EdgeConnect`."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mai_jax.batch import Batch
from mai_jax.config import Config, Discriminator, Generator
from mai_jax.convert.state_dict import Source, Tensors
from mai_jax.models.base import Variables
from mai_jax.models.edge_connect import BLOCKS, EdgeConnect

# Networks have the names that they have in `EdgeConnect`.
SOURCES = {
    "edge-generator": Source("edge_generator", "EdgeModel_gen.pth"),
    "image-generator": Source("generator", "InpaintingModel_gen.pth"),
    "edge-discriminator": Source("edge_discriminator", "EdgeModel_dis.pth", required=False),
    "image-discriminator": Source("discriminator", "InpaintingModel_dis.pth", required=False),
}
# Converted layer: source module. Both generators share one table, both discriminators the other.
GENERATOR = {
    "encode_1": "encoder.1", "encode_2": "encoder.4", "encode_3": "encoder.7",
    **{f"block_{i + 1}_dilated": f"middle.{i}.conv_block.1" for i in range(BLOCKS)},
    **{f"block_{i + 1}": f"middle.{i}.conv_block.5" for i in range(BLOCKS)},
    "decode_1": "decoder.0", "decode_2": "decoder.3", "decode_3": "decoder.7",
}  # fmt: skip
DISCRIMINATOR = {f"conv{i}": f"conv{i}.0" for i in range(1, 6)}
SECOND_NAME = {"conv1.0": "features.0"}  # a discriminator's first layer is stored under both names
TRANSPOSED = {"decode_1", "decode_2"}


def config(networks: Mapping[str, Tensors]) -> Config:
    """Return a config with the width of these networks, and with the edges of the original's test."""
    result = Config(method="edge_connect", generator=Generator(width=networks["generator"].width("encoder.1.bias")))
    result.edge_connect.edges = "everywhere"
    for network in {"edge_discriminator", "discriminator"} & set(networks):
        width = networks[network].width("conv1.0.weight_orig", "features.0.weight_orig")
        result.discriminator = Discriminator(width=width)
    return result


def from_torch(networks: Mapping[str, Tensors], config: Config) -> Variables:
    """Return the variables of the given networks of `EdgeConnect(config)`.

    With the edges of `config`, predictions differ from the original in one point. With spectral normalization the norm
    of a kernel is computed from the stored vector u by one step of power iteration, where the original uses the stored
    u and v: the same once power iteration has converged.

    Raises InputError for a tensor that is missing, unknown, or of another shape.
    """
    batch = Batch(*(  # type: ignore[arg-type]  # shapes instead of arrays
        jax.ShapeDtypeStruct((1, 32, 32, channels), jnp.float32) for channels in (3, 1)))
    shapes = jax.eval_shape(EdgeConnect(config).init, jax.random.key(0), batch)
    converted = {network: _convert(network, source, shapes["params"][network], shapes["batch_stats"][network])
                 for network, source in networks.items()}  # fmt: skip
    return {collection: {network: both[i] for network, both in converted.items()}
            for i, collection in enumerate(("params", "batch_stats"))}  # fmt: skip


def _convert(network: str, source: Tensors, params: Any, batch_stats: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return parameters and statistics of one network; `params` and `batch_stats` hold their shapes."""
    new_params, new_batch_stats = {}, {}
    for layer, module in (GENERATOR if network.endswith("generator") else DISCRIMINATOR).items():
        names = [name for name in (module, SECOND_NAME.get(module)) if name]

        def take(leaf: str, *shape: int, names: list[str] = names) -> np.ndarray:
            return source.take(shape, *(f"{name}.{leaf}" for name in names))

        height, width, into, out = params[layer]["kernel"].shape
        channels = (into, out) if layer in TRANSPOSED else (out, into)
        spectral = f"{layer}_norm" in batch_stats
        weight = take("weight_orig" if spectral else "weight", *channels, height, width)
        new_params[layer] = {"kernel": _kernel(layer, weight)}
        if "bias" in params[layer]:
            new_params[layer]["bias"] = take("bias", out)
        if spectral:
            u, v = take("weight_u", out), take("weight_v", into * height * width)
            matrix = np.moveaxis(weight, 1 if layer in TRANSPOSED else 0, 0).reshape(out, -1)
            sigma = np.asarray(u @ matrix @ v)
            new_batch_stats[f"{layer}_norm"] = {f"{layer}/kernel/u": u[None], f"{layer}/kernel/sigma": sigma}
    source.finish()
    return new_params, new_batch_stats


def _kernel(layer: str, weight: np.ndarray) -> np.ndarray:
    """Return the source weight as a kernel [height, width, in, out], spatially flipped for a transposed convolution."""
    if layer in TRANSPOSED:
        return np.ascontiguousarray(weight[:, :, ::-1, ::-1].transpose(2, 3, 0, 1))
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0))
