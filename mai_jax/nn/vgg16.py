"""VGG-16 up to its third pooling layer: the features of the perceptual and the style loss, Eq. 13-15."""

import functools
import hashlib
import logging
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mai_jax import config as config_lib
from mai_jax.types import InputError

log = logging.getLogger(__name__)

# The ImageNet statistics with which the public weights were trained.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# name here: (position in torchvision's `features`, multiple of the width)
LAYERS = {
    "conv1_1": (0, 1), "conv1_2": (2, 1),
    "conv2_1": (5, 2), "conv2_2": (7, 2),
    "conv3_1": (10, 4), "conv3_2": (12, 4), "conv3_3": (14, 4),
}  # fmt: skip
POOLED = ("conv1_2", "conv2_2", "conv3_3")

HUB = {
    "repo_id": "timm/vgg16.tv_in1k",
    "filename": "model.safetensors",
    "revision": "b8d8aa2dd860af9233c8c67385a8097fd6c35d3f",
}
HUB_SHA256 = "57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8"


class VGG16Features(nn.Module):
    """Images in [0, 1] to the maps after pool1, pool2 and pool3."""

    width: int = 64

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"]) -> tuple[Float[Array, "b h2 w2 c"], ...]:
        x = (images - jnp.array(MEAN, images.dtype)) / jnp.array(STD, images.dtype)
        pooled = []
        for name, (_, multiple) in LAYERS.items():
            x = nn.relu(nn.Conv(self.width * multiple, (3, 3), padding=1, name=name)(x))
            if name in POOLED:
                x = nn.max_pool(x, (2, 2), (2, 2))
                pooled.append(x)
        return tuple(pooled)


def load(path: str | Path) -> dict[str, Any]:
    """Parameters of `VGG16Features()` from a .safetensors file in torchvision's naming; other tensors are left alone.

    Raises InputError for a file that is missing, damaged, or holds other shapes.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give VGG-16 weights as .safetensors (config.vgg16.weights)")
    params, channels = {}, 3
    try:
        with safe_open(path, framework="numpy") as tensors:
            for name, (position, multiple) in LAYERS.items():
                out = 64 * multiple
                kernel = _tensor(tensors, path, f"features.{position}.weight", (out, channels, 3, 3))
                bias = _tensor(tensors, path, f"features.{position}.bias", (out,))
                params[name] = {"kernel": kernel.transpose(2, 3, 1, 0), "bias": bias}
                channels = out
    except SafetensorError as error:
        raise InputError(f"{path}: not a readable .safetensors file ({error}); fetch it again") from error
    return params


def _tensor(tensors: Any, path: Path, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name not in tensors.keys():  # noqa: SIM118 (not a dict)
        raise InputError(f"{path}: has no tensor {name}; VGG-16 weights in torchvision's naming are needed")
    value = tensors.get_tensor(name)
    if value.shape != shape:
        raise InputError(f"{path}: {name} has shape {value.shape}, VGG-16 has {shape}; give the weights of VGG-16")
    return value


def fetch() -> Path:
    """The ImageNet weights from the Hugging Face hub, fetched once at a pinned revision, kept in its cache, checked."""
    from huggingface_hub import hf_hub_download

    by_hand = "fetch it by hand and give --config.vgg16.weights=FILE"
    where = "{repo_id}/{filename} at revision {revision}".format(**HUB)
    try:
        path = Path(hf_hub_download(**HUB))
    except Exception as error:  # the hub client raises a dozen unrelated types when there is no network
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"cannot fetch VGG-16 weights, {where} ({reason}); {by_hand}") from error
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != HUB_SHA256:
        raise InputError(f"{path}: sha256 is {found}, expected {HUB_SHA256}; delete it and start again, or {by_hand}")
    return path


def random_params(seed: int, width: int = 64) -> dict[str, Any]:
    """Untrained parameters (He initialisation): a stand-in for tests and the quickstart, no measure of perception."""
    rng = np.random.default_rng(seed)
    params, channels = {}, 3
    for name, (_, multiple) in LAYERS.items():
        shape = (3, 3, channels, width * multiple)
        kernel = rng.standard_normal(shape, np.float32) * np.sqrt(2 / (9 * channels), dtype=np.float32)
        params[name] = {"kernel": kernel, "bias": np.zeros(shape[-1], np.float32)}
        channels = shape[-1]
    return params


def from_config(config: config_lib.VGG16) -> dict[str, Any]:
    """The parameters that the config names: "hub", "random", or a file. Read once per process."""
    return _named(config.weights, config.width)


@functools.cache
def _named(weights: str, width: int) -> dict[str, Any]:
    if weights == "random":
        log.warning(
            "VGG-16 has RANDOM weights (config.vgg16.weights=random): perceptual and style loss mean little; "
            "never publish numbers of such a run"
        )
        return random_params(0, width)
    return load(fetch() if weights == "hub" else weights)
