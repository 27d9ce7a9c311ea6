"""Accelerators of this machine that JAX does not use: a training that was meant for them would take weeks."""

import glob
import importlib.util
import os
from typing import NamedTuple

import jax


class Kind(NamedTuple):
    """A kind of accelerator: patterns of its device files, modules of JAX's plugins for it, and the extra with them."""

    files: tuple[str, ...]
    plugins: tuple[str, ...]
    extra: str


KINDS = {
    "an NVIDIA GPU": Kind(("/dev/nvidia[0-9]*",), ("jax_cuda13_plugin", "jax_cuda12_plugin"), "gpu"),
    "a TPU": Kind(("/dev/accel[0-9]*", "/dev/vfio/[0-9]*"), ("libtpu",), "tpu"),
}


def unused() -> str | None:
    """Return a sentence about an accelerator that JAX does not use, with the cause and what to do; None if all is well.
    """
    if jax.default_backend() != "cpu":
        return None
    for name, kind in KINDS.items():
        if any(map(glob.glob, kind.files)):
            return f"this machine has {name}, but JAX uses the CPU: {_cause(kind)}"
    return None


def _cause(kind: Kind) -> str:
    if platforms := os.environ.get("JAX_PLATFORMS"):
        return f"JAX_PLATFORMS is {platforms!r}; unset it"
    if not any(map(importlib.util.find_spec, kind.plugins)):
        return f"{kind.plugins[0]} is not installed; pip install 'mai_jax[{kind.extra}]'"
    return "its plugin did not start; `mai doctor --environment` shows why"
