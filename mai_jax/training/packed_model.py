"""A model packed for use: model.safetensors, config.json and README.md, the layout of the Hugging Face hub.

model.safetensors has the networks that a prediction uses, named "params/NETWORK/...", with a checksum per tensor in its
metadata. README.md is the model card.
"""

import dataclasses
import json
import os
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy
from flax import traverse_util

import mai_jax
from mai_jax import config as config_lib
from mai_jax.config import VGG16, Config, Data, Holes, Run
from mai_jax.data import sources
from mai_jax.errors import InputError
from mai_jax.files import read_file
from mai_jax.models import title
from mai_jax.models.base import Variables
from mai_jax.nn import weights
from mai_jax.training.checkpointing import CheckpointReader

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
KIND = "the model.safetensors that `mai models` wrote"
UNUSED = "discriminator"  # a network whose name ends so serves training only


class About(NamedTuple):
    """What the model card says besides the config."""

    name: str
    text: str  # Markdown: where the weights come from
    licence: str | None = None  # identifier of the Hugging Face hub, such as apache-2.0


class PackedReader:
    """A packed model, with the interface of `CheckpointReader`; its history is not kept.

    Raises InputError if a file is missing, damaged or not written by mai_jax, or if `step` is not that of the model.
    """

    def __init__(self, folder: Path, step: int | None = None) -> None:
        self.path = folder / WEIGHTS
        self.history: list[dict[str, Any]] = []
        self.meta: dict[str, Any] = {"arrays": {"params": {}}}
        if not is_packed(folder):
            raise InputError(f"{self.path}: no such file; get the folder again")
        try:
            self.config: Config = config_lib.from_dict(json.loads(read_file(folder / CONFIG)))
            config_lib.check(self.config)
        except OSError as error:
            raise InputError(f"{folder / CONFIG}: cannot be read ({error.strerror}); get the folder again") from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"{folder / CONFIG}: cannot be read as JSON; get the folder again") from error
        except InputError as error:
            raise InputError(f"{folder / CONFIG}: {error}") from error
        try:
            with safetensors.safe_open(self.path, framework="numpy") as file:
                metadata = file.metadata() or {}
            self.step = int(metadata["step"])
            self._checksums = {name: int(value) for name, value in json.loads(metadata["crc32"]).items()}
        except Exception as error:  # of safetensors, of JSON, of missing or other entries
            raise InputError(f"{self.path}: damaged, or not {KIND}; get the folder again") from error
        if step not in (None, self.step):
            raise InputError(f"{folder}: has the checkpoint of step {self.step} only; leave out --step")

    def read(self, item: str, like: Variables) -> Variables:
        """Return the variables ("params") in the structure of `like`, without the networks of training.

        Raises InputError if a tensor is missing, has another shape, is not finite or is damaged.
        """
        assert item == "params", f"a packed model has no {item}"
        leaves = traverse_util.flatten_dict(for_prediction(like), keep_empty_nodes=True)
        names = {path: "/".join(path) for path, leaf in leaves.items() if leaf is not traverse_util.empty_node}
        tensors = weights.read(self.path, {name: tuple(leaves[path].shape) for path, name in names.items()}, KIND)
        for name, tensor in tensors.items():
            if self._checksums.get(name) != zlib.crc32(np.ascontiguousarray(tensor)):  # type: ignore[arg-type]
                raise InputError(f"{self.path}: damaged: the checksum of {name} differs; get the folder again")
        return traverse_util.unflatten_dict(leaves | {path: tensors[name] for path, name in names.items()})


def open_reader(folder: str | Path, step: int | None = None) -> CheckpointReader | PackedReader:
    """Return the reader of a checkpoint of a training folder, or of a packed model. Raises InputError."""
    return PackedReader(Path(folder), step) if is_packed(folder) else CheckpointReader(folder, step)


def is_packed(folder: str | Path) -> bool:
    """Return whether the folder is a packed model; a pipe in the place of the file, which would block, is none."""
    return Path(folder, WEIGHTS).is_file()


def for_prediction(variables: Variables) -> Variables:
    """Return the variables without the networks that only training uses."""
    return {collection: {network: tree for network, tree in trees.items() if not network.endswith(UNUSED)}
            for collection, trees in variables.items()}  # fmt: skip


def write(
    folder: Path, config: Config, variables: Variables, step: int, about: About, *, half: bool = False
) -> None:
    """Write a packed model. The folder, which must not exist, exists complete or not at all.

    With `half` the parameters are stored in float16; running statistics, which are few and may be large, stay float32.
    Raises InputError if a parameter is too large for float16.
    """
    leaves = traverse_util.flatten_dict(for_prediction(variables), sep="/")
    tensors = {name: _stored(name, leaf, half and name.startswith("params/")) for name, leaf in leaves.items()}
    # Of the values as they are read, which is float32 in both cases.
    checksums = {name: zlib.crc32(tensor.astype(np.float32).data) for name, tensor in tensors.items()}
    metadata = {"format": "np", "mai_jax": mai_jax.__version__, "step": str(step), "crc32": json.dumps(checksums)}
    config = without_places(config)
    parameters = sum(tensor.size for name, tensor in tensors.items() if name.startswith("params/"))
    files = {
        WEIGHTS: safetensors.numpy.save(tensors, metadata),
        CONFIG: json.dumps(config_lib.to_dict(config), indent=2).encode() + b"\n",
        CARD: _card(config, parameters, step, about, "parameters in float16" if half else "float32").encode(),
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        unfinished = Path(temporary, folder.name)
        unfinished.mkdir()
        for name, content in files.items():
            (unfinished / name).write_bytes(content)
        os.replace(unfinished, folder)


def _stored(name: str, leaf: Any, half: bool) -> np.ndarray:
    tensor = np.ascontiguousarray(leaf, np.float32)
    if not half:
        return tensor
    largest = np.abs(tensor).max(initial=0)
    if largest > np.finfo(np.float16).max:
        raise InputError(f"{name} has a value of {largest:g}, too large for float16; leave out --half")
    return tensor.astype(np.float16)


def without_places(config: Config) -> Config:
    """Return the config without the folders and files of the machine that trained it."""
    train, test = (given if sources.is_public(given) else default for given, default in (
        (config.data.train, Data().train), (config.data.test, Data().test)))
    data = dataclasses.replace(config.data, train=train, test=test)
    return dataclasses.replace(config, data=data, holes=Holes(), vgg16=VGG16(), run=Run())


def _card(config: Config, parameters: int, step: int, about: About, dtype: str) -> str:
    """Return the model card: metadata of the hub, use, origin and settings."""
    metadata: Mapping[str, Any] = {
        **({"license": about.licence} if about.licence else {}), "library_name": "mai_jax",
        "pipeline_tag": "image-to-image", "tags": ["image-inpainting", "jax", "flax"]}
    head = "\n".join(f"{key}: {json.dumps(value) if isinstance(value, list) else value}"
                     for key, value in metadata.items())  # fmt: skip
    return f"""---
{head}
---

# {about.name}

{title(config.method)}, a network for image inpainting, for mai_jax {mai_jax.__version__}:
{parameters:,} parameters, windows of {config.image_size} x {config.image_size} px, training step {step:,}.

{about.text}

## Use

```
mai inpaint --model=DIR --image=photo.jpg --mask=mask.png --output=filled.jpg
```

```python
from mai_jax import Inpainter

filled = Inpainter.from_pretrained("DIR")(image, hole)  # uint8 or uint16 [h, w, 3] and bool [h, w], True = fill
```

DIR is this folder. White in the mask means hole; pixels outside the hole are kept as they are.

## Files

`{WEIGHTS}` has the tensors, {dtype}, with a checksum each; `{CONFIG}` has all settings (`mai config` explains
them).
"""
