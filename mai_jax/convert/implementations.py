"""The public PyTorch implementations by name, and the conversion of their files."""

from collections.abc import Mapping
from pathlib import Path

from mai_jax import config as config_lib
from mai_jax.config import Config
from mai_jax.convert import edge_connect, lama, pconv, pic, torch_files
from mai_jax.convert.state_dict import Tensors
from mai_jax.models.base import Variables

IMPLEMENTATIONS = {"edge_connect": edge_connect, "lama": lama, "pic": pic, "pconv": pconv}


def read(
    implementation: str, files: Mapping[str, Path], image_size: int, edges: str | None = None
) -> tuple[Config, Variables]:
    """Return the config and the variables of the networks in the files, which are named by flag.

    `edges` is `config.edge_connect.edges`; None = the converter's. Raises InputError.
    """
    converter = IMPLEMENTATIONS[implementation]
    where = {flag: f"--{flag}={path}" if len(files) > 1 else str(path) for flag, path in files.items()}
    networks = {source.network: Tensors(where[flag], torch_files.read(files[flag]), source.within)
                for flag, source in converter.SOURCES.items() if flag in files}  # fmt: skip
    config = converter.config(networks)
    config.image_size = image_size
    config.edge_connect.edges = edges or config.edge_connect.edges
    config.data.shorter_side = max(config.data.shorter_side, image_size)
    config_lib.check(config)
    return config, converter.from_torch(networks, config)
