"""Convert LaMa's public weights to the variables of `LaMa`.

The networks are in a training checkpoint (`best.ckpt`), the generator also in the TorchScript archive `big-lama.pt`.
Names in them start with the path of the network, which a state dict of one network lacks.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util

from mai_jax.batch import Batch
from mai_jax.config import Config
from mai_jax.config import LaMa as Settings
from mai_jax.convert.state_dict import Source, Tensors
from mai_jax.models.base import Variables
from mai_jax.models.lama import LaMa
from mai_jax.models.lama_networks import DISCRIMINATOR, LEVELS

Path = tuple[str, ...]

# Networks have the names that they have in `LaMa`.
SOURCES = {
    "generator": Source("generator", "best.ckpt or big-lama.pt", within=("generator.", "model.generator.")),
    "discriminator": Source("discriminator", "best.ckpt", required=False, within=("discriminator.",)),
}
# Path in a fast Fourier convolution: source module.
FOURIER_CONV = {
    ("local_to_local",): "ffc.convl2l", ("local_to_global",): "ffc.convl2g", ("global_to_local",): "ffc.convg2l",
    ("local_norm",): "bn_l", ("global_norm",): "bn_g",
    ("global_to_global", "reduce"): "ffc.convg2g.conv1.0", ("global_to_global", "reduce_norm"): "ffc.convg2g.conv1.1",
    ("global_to_global", "fourier", "conv"): "ffc.convg2g.fu.conv_layer",
    ("global_to_global", "fourier", "norm"): "ffc.convg2g.fu.bn",
    ("global_to_global", "expand"): "ffc.convg2g.conv2",
}  # fmt: skip
LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def config(networks: Mapping[str, Tensors]) -> Config:
    """Return a config with the widths and the number of blocks of these networks."""
    generator = networks["generator"]
    blocks = next(n for n in itertools.count() if f"model.{n + 2 + LEVELS}.conv1.bn_l.weight" not in generator)
    settings = Settings(width=generator.width("model.1.ffc.convl2l.weight"), blocks=blocks)
    if "discriminator" in networks:
        settings.discriminator_width = networks["discriminator"].width("model0.0.weight")
    return Config(method="lama", lama=settings)


def from_torch(networks: Mapping[str, Tensors], config: Config) -> Variables:
    """Return the variables of the given networks of `LaMa(config)`.

    Raises InputError for a tensor that is missing, unknown or of another shape.
    """
    batch = Batch(*(  # type: ignore[arg-type]  # shapes instead of arrays
        jax.ShapeDtypeStruct((1, 32, 32, channels), jnp.float32) for channels in (3, 1)))
    shapes = jax.eval_shape(LaMa(config).init, jax.random.key(0), batch)
    converted: dict[str, dict[str, Any]] = {"params": {}, "batch_stats": {"discriminator": {}}}
    for network, source in networks.items():
        modules = dict(generator_modules(config.lama.blocks) if network == "generator" else _discriminator_modules())
        for collection, trees in converted.items():
            flat = traverse_util.flatten_dict(shapes[collection][network])
            trees[network] = traverse_util.unflatten_dict({
                path: _take(source, f"{modules[path[:-1]]}.{LEAVES[path[-1]]}", leaf.shape)
                for path, leaf in flat.items()})
        for module in modules.values():
            for name in ("running_mean", "running_var", "num_batches_tracked"):  # the discriminator's are not used
                source.ignore(f"{module}.{name}")
        source.finish()
    return converted


def _take(source: Tensors, name: str, shape: tuple[int, ...]) -> Any:
    """Return a tensor; a kernel [h, w, a, b] is stored as [b, a, h, w], also of a transposed convolution."""
    if len(shape) < 4:
        return source.take(shape, name)
    height, width, a, b = shape
    return source.take((b, a, height, width), name).transpose(2, 3, 1, 0)


def generator_modules(blocks: int) -> Iterator[tuple[Path, str]]:
    """Yield the path of every layer of the generator, and the source's module."""
    names = ["encode", *(f"down_{i + 1}" for i in range(LEVELS))]
    places = {name: f"model.{i}" for i, name in enumerate(names, start=1)}
    places |= {f"block_{i}_{j}": f"model.{len(names) + i}.conv{j}" for i in range(1, blocks + 1) for j in (1, 2)}
    for name, place in places.items():
        yield from (((name, *path), f"{place}.{module}") for path, module in FOURIER_CONV.items())
    first = len(names) + blocks + 2  # after a layer that joins the groups; a level has three modules
    for i in range(LEVELS):
        yield (f"up_{i + 1}",), f"model.{first + 3 * i}"
        yield (f"up_{i + 1}_norm",), f"model.{first + 3 * i + 1}"
    yield ("output",), f"model.{first + 3 * LEVELS + 1}"


def _discriminator_modules() -> Iterator[tuple[Path, str]]:
    """Yield the path of every layer of the discriminator, and the source's module."""
    for i in range(len(DISCRIMINATOR) + 1):
        yield (f"conv{i + 1}",), f"model{i}.0"
        yield (f"norm{i + 1}",), f"model{i}.1"
