"""State dicts of PIC's public PyTorch implementation as our parameters and statistics.

The names are those that its attributes give a state dict. A block's convolutions have two names there, their own and
their place in the sequence that runs them; either may be missing.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from mai_jax import config as config_lib
from mai_jax.models.base import ByPlayer
from mai_jax.models.convert.originals import Source, Tensors
from mai_jax.models.pic import PIC
from mai_jax.types import Batch

Path = tuple[str, ...]

# Networks are named as the original names them.
SOURCES = {
    "encoder": Source("E", "latest_net_E.pth"),
    "generator": Source("G", "latest_net_G.pth"),
    "discriminator": Source("D", "latest_net_D.pth", paints=False),
    "reconstruction-discriminator": Source("D_rec", "latest_net_D_rec.pth", paints=False),
}
# Where ours are, and the name of the attention in each.
NETWORKS = {"E": ("generator", "encoder", ""), "G": ("generator", "decoder", "attn1"),
            "D": ("discriminator", "generative", "attn2"), "D_rec": ("discriminator", "reconstructive", "attn2")}
# The place of each layer in its block's sequences.
FIRST = {"conv1": "model.0", "conv2": "model.2", "bypass": "shortcut.1"}
RESIDUAL = {"conv1": "model.1", "conv2": "model.3", "bypass": "shortcut.0"}
UP = {"norm1": "model.0", "conv1": "model.2", "norm2": "model.3", "conv2": "model.5", "bypass": "shortcut.0"}
NORM = {"scale": "weight", "bias": "bias"}


def config(networks: Mapping[str, Tensors]) -> config_lib.Config:
    """The config of a method as wide as these networks."""
    width = networks["E"].width(*(f"{name}.module.bias" for name in _layer_names(("block0", "conv1"), "")))
    return config_lib.Config(method="pic", pic=config_lib.PIC(width=width))


def from_torch(networks: Mapping[str, Tensors], config: config_lib.Config) -> tuple[ByPlayer, ByPlayer]:
    """(params, stats) of those parts of `PIC(config)` that are there.

    Raises InputError, naming it, for a tensor that is missing, unknown or of another shape.
    """
    batch = Batch(jnp.zeros((1, 32, 32, 3)), jnp.ones((1, 32, 32, 1)))
    shapes = jax.eval_shape(PIC(config).init, jax.random.key(0), batch)
    params, stats = {}, {}
    for network, theirs in networks.items():
        player, part, attention = NETWORKS[network]
        read = _read(theirs, attention, *(tree[player][part] for tree in shapes))
        for tree, own in zip((params, stats), read, strict=True):
            tree.setdefault(player, {})[part] = own
    return params, stats


def _read(theirs: Tensors, attention: str, params: Any, stats: Any) -> tuple[Any, Any]:
    """One network: all that `params` and `stats` have the shapes of."""
    params, stats = (traverse_util.flatten_dict(tree) for tree in (params, stats))
    read_params, read_stats = {}, {}
    for layer in sorted({path[:-2] for path in stats}):  # the convolutions that are normalised
        names = [f"{name}.module" for name in _layer_names(layer, attention)]

        def take(leaf: str, *shape: int, names: list[str] = names) -> np.ndarray:
            return theirs.take(shape, *(f"{name}.{leaf}" for name in names))

        kernel_path, bias_path = (*layer, "conv", "kernel"), (*layer, "conv", "bias")
        weight = take("weight_bar", *_as_theirs(params[kernel_path].shape))
        read_params[kernel_path] = weight.transpose(2, 3, 1, 0)
        read_params[bias_path] = take("bias", *params[bias_path].shape)
        u, v = take("weight_u", len(weight)), take("weight_v", weight[0].size)
        read_stats[*layer, "norm", "conv/kernel/u"] = u[None]
        read_stats[*layer, "norm", "conv/kernel/sigma"] = np.asarray(u @ weight.reshape(len(u), -1) @ v)
    for path in sorted(set(params) - set(read_params)):
        read_params[path] = _other(theirs, path, params[path].shape, attention)
    theirs.finish()
    return tuple(traverse_util.unflatten_dict(flat) for flat in (read_params, read_stats))


def _other(theirs: Tensors, path: Path, shape: tuple[int, ...], attention: str) -> np.ndarray:
    """What is no normalised convolution: the attention's query and weights, and the instance norms."""
    *layer, leaf = path
    if leaf in ("gamma", "alpha"):
        return theirs.take((1,), f"{attention}.{leaf}").reshape(shape)
    if layer[-1] == "query" and leaf == "kernel":
        return theirs.take(_as_theirs(shape), f"{attention}.query_conv.weight").transpose(2, 3, 1, 0)
    if layer[-1] == "query":
        return theirs.take(shape, f"{attention}.query_conv.bias")
    return theirs.take(shape, f"{layer[0]}.{UP[layer[1]]}.{NORM[leaf]}")


def _as_theirs(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of a kernel; the rule is the same for transposed convolutions, whose channels we swap."""
    height, width, before, after = shape
    return after, before, height, width


def _layer_names(layer: Path, attention: str) -> list[str]:
    """Where the original keeps one of our normalised convolutions."""
    *blocks, last = (attention if part == "attention" else "model" if part == "merge" else part for part in layer)
    if not blocks:  # the layer that paints an image, or the discriminator's last
        return [last] if last == "conv" else [f"{last}.conv1", f"{last}.model.2"]
    places = FIRST if blocks[0] == "block0" else UP if blocks[0].startswith("decoder") else RESIDUAL
    block = ".".join(blocks)
    return [f"{block}.{last}", f"{block}.{places[last]}"]
