"""Convert parameters, statistics and gradients between flax's trees and the state dict of `torch_mai.MAI`.

Names follow the paths: the leaf `generator/encode_1/kernel` is `generator.encode_1.weight` in the state dict.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import torch

from mai_jax.inference.torch_export import NAMES, outputs_first


def to_torch(tree: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return a tree of parameters or statistics, keyed by network, as part of a state dict."""
    return {_name(path): torch.tensor(outputs_first(np.asarray(leaf))).reshape(_shape(path, leaf))
            for path, leaf in jax.tree.leaves_with_path(tree)}


def from_torch(tensors: Mapping[str, torch.Tensor], like: dict[str, Any]) -> dict[str, Any]:
    """Return the tensors, named as by `to_torch`, as a tree with the structure and shapes of `like`."""
    def take(path: tuple[Any, ...], leaf: Any) -> np.ndarray:
        return _outputs_last(tensors[_name(path)].detach().cpu().numpy()).reshape(leaf.shape)

    return jax.tree.map_with_path(take, like)


def load(networks: torch.nn.Module, params: dict[str, Any], batch_stats: dict[str, Any], vgg16: dict[str, Any]) -> None:
    """Load parameters and statistics into the networks. Raises RuntimeError for missing or unexpected names."""
    state = {**to_torch(params), **to_torch(batch_stats), **to_torch({"vgg16": vgg16})}
    # Only PyTorch's BatchNorm counts batches; every other name must be present.
    counters = {name: value for name, value in networks.state_dict().items() if name.endswith("num_batches_tracked")}
    networks.load_state_dict(counters | state)


def _name(path: tuple[Any, ...]) -> str:
    keys = [entry.key for entry in path]
    if "/" in keys[-1]:  # spectral norm: .../conv1_norm/conv1/kernel/u
        conv, _, name = keys[-1].split("/")
        keys[-2:] = [conv, name]
    return ".".join([*keys[:-1], NAMES.get(keys[-1], keys[-1])])


def _shape(path: tuple[Any, ...], leaf: Any) -> tuple[int, ...]:
    spectral = path[-1].key.endswith("/u")
    return (leaf.size,) if spectral else outputs_first(np.empty(leaf.shape)).shape


def _outputs_last(kernel: np.ndarray) -> np.ndarray:
    return kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel.T
