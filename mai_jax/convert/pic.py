"""Convert the state dicts of PIC's public PyTorch implementation to the variables of `PIC`.

The names in a state dict follow the source's attributes. A block's convolutions have two names there, one as an
attribute and one by position in an `nn.Sequential`; either may be missing.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from mai_jax import config as config_lib
from mai_jax.batch import Batch
from mai_jax.convert.state_dict import Source, Tensors
from mai_jax.models.base import Variables
from mai_jax.models.pic import PIC

Path = tuple[str, ...]

# Networks have the source's names.
SOURCES = {
    "encoder": Source("E", "latest_net_E.pth"),
    "generator": Source("G", "latest_net_G.pth"),
    "discriminator": Source("D", "latest_net_D.pth", required=False),
    "reconstruction-discriminator": Source("D_rec", "latest_net_D_rec.pth", required=False),
}
# Source network: (converted network, its part, the source's name of the attention in it).
NETWORKS = {"E": ("generator", "encoder", ""), "G": ("generator", "decoder", "attn1"),
            "D": ("discriminator", "generative", "attn2"), "D_rec": ("discriminator", "reconstructive", "attn2")}
# The second names: each layer's position in its block's `nn.Sequential`.
FIRST = {"conv1": "model.0", "conv2": "model.2", "bypass": "shortcut.1"}
RESIDUAL = {"conv1": "model.1", "conv2": "model.3", "bypass": "shortcut.0"}
UP = {"norm1": "model.0", "conv1": "model.2", "norm2": "model.3", "conv2": "model.5", "bypass": "shortcut.0"}
NORM = {"scale": "weight", "bias": "bias"}


def config(networks: Mapping[str, Tensors]) -> config_lib.Config:
    """Return a config with the width of these networks."""
    width = networks["E"].width(*(f"{name}.module.bias" for name in _layer_names(("block0", "conv1"), "")))
    return config_lib.Config(method="pic", pic=config_lib.PIC(width=width))


def from_torch(networks: Mapping[str, Tensors], config: config_lib.Config) -> Variables:
    """Return the variables of the given parts of `PIC(config)`.

    Raises InputError for a tensor that is missing, unknown or of another shape.
    """
    batch = Batch(jnp.zeros((1, 32, 32, 3)), jnp.ones((1, 32, 32, 1)))
    shapes = jax.eval_shape(PIC(config).init, jax.random.key(0), batch)
    params: dict[str, Any] = {}
    batch_stats: dict[str, Any] = {}
    for source_name, source in networks.items():
        network, part, attention = NETWORKS[source_name]
        converted = _convert(source, attention, shapes["params"][network][part], shapes["batch_stats"][network][part])
        for tree, own in zip((params, batch_stats), converted, strict=True):
            tree.setdefault(network, {})[part] = own
    return {"params": params, "batch_stats": batch_stats}


def _convert(source: Tensors, attention: str, params: Any, batch_stats: Any) -> tuple[Any, Any]:
    """Return parameters and statistics of one network; `params` and `batch_stats` hold their shapes."""
    params, batch_stats = (traverse_util.flatten_dict(tree) for tree in (params, batch_stats))
    new_params, new_batch_stats = {}, {}
    for layer in sorted({path[:-2] for path in batch_stats}):  # the spectrally normalized convolutions
        names = [f"{name}.module" for name in _layer_names(layer, attention)]

        def take(leaf: str, *shape: int, names: list[str] = names) -> np.ndarray:
            return source.take(shape, *(f"{name}.{leaf}" for name in names))

        kernel_path, bias_path = (*layer, "conv", "kernel"), (*layer, "conv", "bias")
        weight = take("weight_bar", *_source_shape(params[kernel_path].shape))
        new_params[kernel_path] = weight.transpose(2, 3, 1, 0)
        new_params[bias_path] = take("bias", *params[bias_path].shape)
        u, v = take("weight_u", len(weight)), take("weight_v", weight[0].size)
        new_batch_stats[*layer, "norm", "conv/kernel/u"] = u[None]
        new_batch_stats[*layer, "norm", "conv/kernel/sigma"] = np.asarray(u @ weight.reshape(len(u), -1) @ v)
    for path in sorted(set(params) - set(new_params)):
        new_params[path] = _take_other(source, path, params[path].shape, attention)
    source.finish()
    return tuple(traverse_util.unflatten_dict(flat) for flat in (new_params, new_batch_stats))


def _take_other(source: Tensors, path: Path, shape: tuple[int, ...], attention: str) -> np.ndarray:
    """Return a parameter outside of the spectrally normalized convolutions: of attention or instance norm."""
    *layer, leaf = path
    if leaf in ("gamma", "alpha"):
        return source.take((1,), f"{attention}.{leaf}").reshape(shape)
    if layer[-1] == "query" and leaf == "kernel":
        return source.take(_source_shape(shape), f"{attention}.query_conv.weight").transpose(2, 3, 1, 0)
    if layer[-1] == "query":
        return source.take(shape, f"{attention}.query_conv.bias")
    return source.take(shape, f"{layer[0]}.{UP[layer[1]]}.{NORM[leaf]}")


def _source_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the source's shape of a kernel; the same for transposed convolutions (`transpose_kernel=True`)."""
    height, width, into, out = shape
    return out, into, height, width


def _layer_names(layer: Path, attention: str) -> list[str]:
    """Return the source's names of a spectrally normalized convolution."""
    *blocks, last = (attention if part == "attention" else "model" if part == "merge" else part for part in layer)
    if not blocks:  # the layer that returns an image, or the discriminator's last
        return [last] if last == "conv" else [f"{last}.conv1", f"{last}.model.2"]
    positions = FIRST if blocks[0] == "block0" else UP if blocks[0].startswith("decoder") else RESIDUAL
    block = ".".join(blocks)
    return [f"{block}.{last}", f"{block}.{positions[last]}"]
