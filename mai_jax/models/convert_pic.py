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
from mai_jax.models.pic import PIC
from mai_jax.types import Batch, InputError

Path = tuple[str, ...]
StateDict = Mapping[str, np.ndarray]

# The original's networks, where ours are, and the name of the attention in each.
NETWORKS = {"E": ("generator", "encoder", ""), "G": ("generator", "decoder", "attn1"),
            "D": ("discriminator", "generative", "attn2"), "D_rec": ("discriminator", "reconstructive", "attn2")}
# The place of each layer in its block's sequences.
FIRST = {"conv1": "model.0", "conv2": "model.2", "bypass": "shortcut.1"}
RESIDUAL = {"conv1": "model.1", "conv2": "model.3", "bypass": "shortcut.0"}
UP = {"norm1": "model.0", "conv1": "model.2", "norm2": "model.3", "conv2": "model.5", "bypass": "shortcut.0"}


def from_torch(state_dicts: Mapping[str, StateDict]) -> tuple[ByPlayer, ByPlayer]:
    """(params, stats) of `PIC`, of the state dicts named "E", "G", "D" and "D_rec", of any width.

    Raises InputError, naming it, for a network or a tensor that is missing, unknown or of another shape.
    """
    _require_same(set(NETWORKS), set(state_dicts), "the networks", "state dict")
    params, stats = _shapes(_width(state_dicts["E"]))
    for network, (player, name, attention) in NETWORKS.items():
        reader = _Reader(network, state_dicts[network], attention)
        params[player][name], stats[player][name] = reader.read(params[player][name], stats[player][name])
    return params, stats


def _shapes(width: int) -> tuple[ByPlayer, ByPlayer]:
    model = PIC(config_lib.Config(pic=config_lib.PIC(width=width)))
    batch = Batch(jnp.zeros((1, 32, 32, 3)), jnp.ones((1, 32, 32, 1)))
    return jax.eval_shape(model.init, jax.random.key(0), batch)


def _width(encoder: StateDict) -> int:
    for name in _layer_names(("block0", "conv1"), ""):
        if f"{name}.module.bias" in encoder:
            return len(encoder[f"{name}.module.bias"])
    raise InputError("E: has no tensor block0.conv1.module.bias; give the state dict of PIC's encoder")


class _Reader:
    """One network's state dict, from which every tensor is taken once."""

    def __init__(self, network: str, tensors: StateDict, attention: str) -> None:
        self.network, self.attention = network, attention
        self.left = {name: np.asarray(value, np.float32) for name, value in tensors.items()}

    def read(self, params: Any, stats: Any) -> tuple[Any, Any]:
        params, stats = (traverse_util.flatten_dict(tree) for tree in (params, stats))
        convolutions = sorted({path[:-2] for path in stats})  # all that are normalised
        read_params, read_stats = {}, {}
        for layer in convolutions:
            kernel_path, bias_path = (*layer, "conv", "kernel"), (*layer, "conv", "bias")
            names = [f"{name}.module" for name in _layer_names(layer, self.attention)]
            kernel = read_params[kernel_path] = self._kernel(names, "weight_bar", params[kernel_path].shape)
            read_params[bias_path] = self._take(names, "bias", params[bias_path].shape)
            u = self._take(names, "weight_u", kernel.shape[-1:])
            v = self._take(names, "weight_v", (kernel.size // len(u),))
            # The original counts a row's entries channel first.
            matrix = kernel.transpose(3, 2, 0, 1).reshape(len(u), -1)
            read_stats[*layer, "norm", "conv/kernel/u"] = u[None]
            read_stats[*layer, "norm", "conv/kernel/sigma"] = np.asarray(u @ matrix @ v)
        for path in sorted(set(params) - set(read_params)):
            read_params[path] = self._other(path, params[path].shape)
        _require_same(set(), set(self.left), self.network, "tensor")
        return tuple(traverse_util.unflatten_dict(flat) for flat in (read_params, read_stats))

    def _other(self, path: Path, shape: tuple[int, ...]) -> np.ndarray:
        """What is no normalised convolution: the attention's query and weights, and the instance norms."""
        *layer, leaf = path
        if leaf in ("gamma", "alpha"):
            return self._take([self.attention], leaf, (1,)).reshape(shape)
        if layer[-1] == "query":
            names = [f"{self.attention}.query_conv"]
            return self._kernel(names, "weight", shape) if leaf == "kernel" else self._take(names, "bias", shape)
        return self._take([f"{layer[0]}.{UP[layer[1]]}"], {"scale": "weight", "bias": "bias"}[leaf], shape)

    def _kernel(self, names: list[str], suffix: str, shape: tuple[int, ...]) -> np.ndarray:
        """A kernel in our order of axes; the rule is the same for transposed convolutions, whose channels we swap."""
        return self._take(names, suffix, (shape[3], shape[2], shape[0], shape[1])).transpose(2, 3, 1, 0)

    def _take(self, names: list[str], suffix: str, shape: tuple[int, ...]) -> np.ndarray:
        found = [self.left.pop(full) for name in names if (full := f"{name}.{suffix}") in self.left]
        where = f"{self.network}: tensor {names[0]}.{suffix}"
        if not found:
            raise InputError(f"{where} is missing; give the state dict of PIC's own network {self.network}")
        for value in found:
            if value.shape != shape:
                raise InputError(f"{where} has shape {value.shape}, not {shape}; give one of another width or network")
            if not np.array_equal(value, found[0]):
                raise InputError(f"{where} differs from {names[1]}.{suffix}, its other name; give an unchanged file")
        return found[0]


def _layer_names(layer: Path, attention: str) -> list[str]:
    """Where the original keeps one of our normalised convolutions."""
    *blocks, last = (attention if part == "attention" else "model" if part == "merge" else part for part in layer)
    if not blocks:  # the layer that paints an image, or the discriminator's last
        return [last] if last == "conv" else [f"{last}.conv1", f"{last}.model.2"]
    places = FIRST if blocks[0] == "block0" else UP if blocks[0].startswith("decoder") else RESIDUAL
    block = ".".join(blocks)
    return [f"{block}.{last}", f"{block}.{places[last]}"]


def _require_same(expected: set[str], given: set[str], where: str, what: str) -> None:
    for odd in sorted(expected ^ given):
        raise InputError(f"{where}: {what} {odd} is {'unknown' if odd in given else 'missing'}; "
                         "give those of PIC's public implementation, unchanged")
