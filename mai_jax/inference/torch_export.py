"""Export of MAI's and PConv's generator for PyTorch: a state dict, and the file that loads it, `mai_torch.py`.

The format is safetensors, which needs neither PyTorch to write nor pickle to read. Its metadata hold the settings of
the network.
"""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors.numpy
from jaxtyping import PyTree, Shaped

from mai_jax.errors import InputError
from mai_jax.files import write_atomically
from mai_jax.inference.model_loading import load_model

METHODS = ("mai", "pconv")
LOADER = Path(__file__).with_name("mai_torch.py")
SETTINGS = ("width", "leaky_slope", "attention_scale", "attention_window", "merge", "se_reduction")
NAMES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}  # flax: PyTorch


def write(folder: Path, output: Path, step: int | None = None) -> str:
    """Write `output` and its loader from the newest checkpoint (or that of `step`) of a training folder.

    Returns a description. Raises InputError for a network that the loader does not have, and if another file has the
    name of the loader.
    """
    loaded = load_model(folder, step)
    config, loader = loaded.config.generator, output.with_name(LOADER.name)
    if loaded.config.method not in METHODS:
        raise InputError(f"--output={output}: weights are exported of {' and '.join(METHODS)}, not of "
                         f"{loaded.config.method}; export it as .stablehlo")
    for name, value in (("norm", "batch"), ("smooth_fill", False)):
        if (found := getattr(config, name)) != value:
            raise InputError(f"--output={output}: {loader.name} has no config.generator.{name}={found!r}; export it as "
                             ".stablehlo")
    if loader.exists() and loader.read_bytes() != LOADER.read_bytes():
        raise InputError(f"{loader}: exists and differs from the loader that belongs to {output.name}; move it away")
    settings = {name: getattr(config, name) for name in SETTINGS} | {
        "depth": loaded.model.depth,  # type: ignore[attr-defined]
        "attention_stages": config.attention_stages if loaded.config.method == "mai" else (),
    }
    about = {"format": "pt", "about": f"{loaded.config.method}, step {loaded.step}", "config": json.dumps(settings)}
    tensors = state_dict([tree["generator"] for tree in loaded.variables.values()])
    content = safetensors.numpy.save(tensors, about)
    write_atomically(output, content)
    write_atomically(loader, LOADER.read_bytes())
    return f"{about['about']}; {len(content) / 1e6:.1f} MB; {loader.name} beside it loads it in PyTorch"


def state_dict(trees: list[PyTree]) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Return parameters and statistics of a network by PyTorch's names: encode_1/kernel is encode_1.weight."""
    return {name(path): np.ascontiguousarray(outputs_first(np.asarray(leaf)))
            for tree in trees for path, leaf in jax.tree.leaves_with_path(tree)}


def name(path: tuple[Any, ...]) -> str:
    """Return PyTorch's name of the leaf at a path."""
    *parts, last = (entry.key for entry in path)
    return ".".join([*parts, NAMES.get(last, last)])


def outputs_first(kernel: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    """Return a kernel HWIO or IO as OIHW or OI, and other arrays unchanged."""
    return kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T
