"""The state dicts of EdgeConnect's public PyTorch implementation as our parameters."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mai_jax.config import Config
from mai_jax.models.base import ByPlayer
from mai_jax.models.edge_connect import BLOCKS, EdgeConnect
from mai_jax.types import Batch, InputError

StateDict = Mapping[str, np.ndarray]

# Our layer: their module. Both generators share one table, both discriminators the other.
GENERATOR = {
    "encode_1": "encoder.1", "encode_2": "encoder.4", "encode_3": "encoder.7",
    **{f"block_{i + 1}_dilated": f"middle.{i}.conv_block.1" for i in range(BLOCKS)},
    **{f"block_{i + 1}": f"middle.{i}.conv_block.5" for i in range(BLOCKS)},
    "decode_1": "decoder.0", "decode_2": "decoder.3", "decode_3": "decoder.7",
}  # fmt: skip
DISCRIMINATOR = {f"conv{i}": f"conv{i}.0" for i in range(1, 6)}
TRANSPOSED = {"decode_1", "decode_2"}
SECOND_NAME = ("features.0.", "conv1.0.")  # the first layer of a discriminator may be stored under both
MEND = "give EdgeConnect's weights"


def from_torch(state_dicts: Mapping[str, StateDict], config: Config) -> tuple[ByPlayer, ByPlayer]:
    """(params, stats) of `EdgeConnect(config)` from the state dict of each of its players.

    With spectral normalisation ours computes the norm of a kernel anew from the stored vector u, where theirs, when it
    paints, takes u and v as stored: the same once power iteration has converged. Raises InputError for a player or
    a tensor that is missing, unknown, or has another shape.
    """
    model = EdgeConnect(config)
    batch = Batch(*(jax.ShapeDtypeStruct((1, 32, 32, channels), jnp.float32) for channels in (3, 1)))
    params, stats = jax.eval_shape(model.init, jax.random.key(0), batch)
    _require_same("players", set(state_dicts), set(params))
    converted = {player: _convert(player, state_dicts[player], params[player], stats[player]) for player in params}
    return {player: own for player, (own, _) in converted.items()}, {
        player: own for player, (_, own) in converted.items()}


def _convert(player: str, theirs: StateDict, params: Any, stats: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    table = GENERATOR if player.endswith("generator") else DISCRIMINATOR
    tensors = theirs if table is GENERATOR else _without_second_name(player, theirs)
    shapes = {f"{module}.{name}": shape for layer, module in table.items()
              for name, shape in _shapes(layer, params[layer], spectral=f"{layer}_norm" in stats).items()}  # fmt: skip
    _require_same(f"tensors of {player}", set(tensors), set(shapes))
    for name, shape in shapes.items():
        if tensors[name].shape != shape:
            raise InputError(f"{player}: {name} has shape {tensors[name].shape}, not {shape}; {MEND}")
    values = {name: np.asarray(tensor, np.float32) for name, tensor in tensors.items()}
    new_params, new_stats = {}, {}
    for layer, module in table.items():
        spectral = f"{layer}_norm" in stats
        weight = values[f"{module}.weight_orig" if spectral else f"{module}.weight"]
        new_params[layer] = {"kernel": _kernel(layer, weight)}
        if "bias" in params[layer]:
            new_params[layer]["bias"] = values[f"{module}.bias"]
        if spectral:
            u, v = values[f"{module}.weight_u"], values[f"{module}.weight_v"]
            matrix = np.moveaxis(weight, 1 if layer in TRANSPOSED else 0, 0).reshape(len(u), -1)
            new_stats[f"{layer}_norm"] = {f"{layer}/kernel/u": u[None], f"{layer}/kernel/sigma": u @ matrix @ v}
    return new_params, new_stats


def _shapes(layer: str, params: Any, *, spectral: bool) -> dict[str, tuple[int, ...]]:
    """What they store for one of our layers."""
    height, width, before, after = params["kernel"].shape
    weight = (before, after, height, width) if layer in TRANSPOSED else (after, before, height, width)
    bias = {"bias": (after,)} if "bias" in params else {}
    if not spectral:
        return {"weight": weight, **bias}
    return {"weight_orig": weight, "weight_u": (after,), "weight_v": (before * height * width,), **bias}


def _kernel(layer: str, weight: np.ndarray) -> np.ndarray:
    """Their weight as our kernel [height, width, in, out]; a transposed convolution reads theirs back to front."""
    if layer in TRANSPOSED:
        return np.ascontiguousarray(weight[:, :, ::-1, ::-1].transpose(2, 3, 0, 1))
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0))


def _without_second_name(player: str, theirs: StateDict) -> dict[str, np.ndarray]:
    second, first = SECOND_NAME
    for name in theirs:
        twin = first + name.removeprefix(second)
        if name.startswith(second) and twin in theirs and not np.array_equal(theirs[name], theirs[twin]):
            raise InputError(f"{player}: {name} and {twin} differ, though they name one tensor; fetch the file again")
    return {name: tensor for name, tensor in theirs.items()
            if not (name.startswith(second) and first + name.removeprefix(second) in theirs)}  # fmt: skip


def _require_same(what: str, found: set[str], expected: set[str]) -> None:
    odd = sorted(found ^ expected)
    if odd:
        raise InputError(f"{what}: {odd[0]} is {'unknown' if odd[0] in found else 'missing'}; {MEND}")
