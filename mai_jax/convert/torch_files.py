"""Read state dicts from files: .safetensors, and those of `torch.save` (zip since PyTorch 1.6, its own format before).

A training checkpoint of PyTorch Lightning holds one among other objects. Of a TorchScript archive the tensors are read,
named as in a state dict; its code is not.
Nothing in a file is executed, and reading takes no more memory than a small multiple of the file's size.
"""

import functools
import io
import math
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy
from jaxtyping import Shaped

from mai_jax import unpickle
from mai_jax.errors import InputError

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001  # of the format before PyTorch 1.6
DTYPES = {"Float": "<f4", "Double": "<f8", "Half": "<f2", "Long": "<i8", "Int": "<i4", "Short": "<i2", "Char": "i1",
          "Byte": "u1", "Bool": "?"}  # fmt: skip
MAX_LISTED = 8  # names in a message
MAX_NAME = 200  # characters of a tensor's name in a TorchScript archive


class Storage(NamedTuple):
    """A contiguous array of numbers, stored in the file under a key."""

    dtype: np.dtype
    key: str
    length: int


class Tensor(NamedTuple):
    """A view of a storage; offset and strides are in numbers, not bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


Contents = Callable[[str], bytes | memoryview]  # from a storage's key to its bytes


def read(path: Path) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Return the one state dict of the file, which is its content or an entry of it, without the prefix "module.".

    Raises InputError if the file is missing, damaged, of another format, or holds no or several state dicts.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    data = path.read_bytes()
    try:
        if path.suffix == ".safetensors":
            return _without_prefix(_state_dict(safetensors.numpy.load(data)))
        content, storages = (_zip if data.startswith(b"PK") else _legacy)(data)
        return _without_prefix({name: _array(tensor, storages) for name, tensor in _state_dict(content).items()})
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # zipfile, unpickle and numpy raise many types for a damaged file
        reason = "damaged, or neither .safetensors nor written by torch.save"
        raise InputError(f"{path}: {reason}; fetch it again") from error


def _state_dict(content: Any) -> dict[str, Any]:
    """Return `content`, or its only entry that is a state dict, as in EdgeConnect's {"iteration", "generator"}."""
    if isinstance(content, unpickle.Attributes):
        content = _of_modules(content)
    if _is_state_dict(content):
        return content
    if not isinstance(content, dict):
        raise InputError(f"holds a {type(content).__name__}; give the file of a state dict")
    found = [value for value in content.values() if _is_state_dict(value)]
    if len(found) != 1:
        names = ", ".join(repr(name)[:40] for name in list(content)[:MAX_LISTED])
        names = (names or "nothing") + (", ..." if len(content) > MAX_LISTED else "")
        count = "more than one" if found else "none"
        raise InputError(f"holds {names}: {count} of them is a dict of tensors; save the state dict alone")
    return found[0]


def _is_state_dict(value: Any) -> bool:
    return (isinstance(value, dict) and len(value) > 0
            and all(isinstance(k, str) and isinstance(v, Tensor | np.ndarray) for k, v in value.items()))  # fmt: skip


def _of_modules(root: unpickle.Attributes) -> dict[str, Tensor]:
    """Return the tensors of a TorchScript module and of the modules in it, by their dotted names.

    Each module is visited once, under one of its names: a hostile file could nest shared ones without end.
    """
    tensors: dict[str, Tensor] = {}
    seen, found = set(), [("", root.state)]
    while found:
        prefix, attributes = found.pop()
        if not isinstance(attributes, dict) or id(attributes) in seen:
            continue
        seen.add(id(attributes))
        for name, value in attributes.items():
            path = f"{prefix}{name}"
            if len(path) > MAX_NAME:
                raise InputError(f"the name of a tensor in it is longer than {MAX_NAME} characters: {path}")
            if isinstance(value, Tensor):
                tensors[path] = value
            elif isinstance(value, unpickle.Attributes):
                found.append((f"{path}.", value.state))
    return tensors


def _without_prefix(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Remove the prefix "module." of training on several GPUs, as in PIC's public weights."""
    if not all(name.startswith("module.") for name in tensors):
        return tensors
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def _zip(data: bytes) -> tuple[Any, Contents]:
    """Return the unpickled object and the storages of a zip file."""
    archive = zipfile.ZipFile(io.BytesIO(data))
    pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise InputError("a zip file without data.pkl, not written by torch.save; give the file of a state dict")
    folder = pickles[0].removesuffix("data.pkl")
    entries = [entry for entry in archive.infolist() if not entry.filename.startswith(f"{folder}code/")]  # not read
    plain = all(e.compress_type == zipfile.ZIP_STORED and e.compress_size == e.file_size for e in entries)
    if not plain or sum(e.file_size for e in entries) > len(data):
        raise InputError("its entries are compressed or overlap, unlike those of torch.save; save it again with it")
    if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
        raise InputError("its numbers are big-endian; save it again on another machine")
    content = unpickle.load(io.BytesIO(archive.read(pickles[0])), GLOBALS, _storage, is_class=_is_class)
    return content, functools.cache(lambda key: archive.read(f"{folder}data/{key}"))


def _legacy(data: bytes) -> tuple[Any, Contents]:
    """Return the unpickled object and the storages of a file in the format before PyTorch 1.6.

    The file holds five pickles (magic number, version, platform, the object, the storages' keys), then the storages.
    """
    file = io.BytesIO(data)
    storages: dict[str, Storage] = {}

    def persistent_load(*identifier: Any) -> Storage:
        storage = _storage(*identifier)
        if storages.setdefault(storage.key, storage) != storage:
            raise ValueError("two descriptions of one storage")
        return storage

    magic, version, _, content, keys = (
        unpickle.load(file, GLOBALS, persistent_load, is_class=_is_class) for _ in range(5))
    if (magic, version) != (MAGIC, VERSION):
        raise ValueError("not this format")
    raw, end = {}, file.tell()
    for key in keys:
        (count,) = struct.unpack_from("<q", data, end)
        if count != storages[key].length:
            raise ValueError("a storage's size differs from its description's")
        start, end = end + 8, end + 8 + count * storages[key].dtype.itemsize
        raw[key] = memoryview(data)[start:end]
    return content, raw.__getitem__


def _storage(kind: Any, dtype: Any, key: Any, location: Any, count: Any, view: Any = None) -> Storage:
    del location  # the device that it was saved from
    valid = isinstance(dtype, np.dtype) and isinstance(key, str) and isinstance(count, int) and view is None
    if not (isinstance(kind, str) and kind == "storage" and valid):
        raise TypeError("not a storage")
    return Storage(dtype, key, count)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Tensor:
    del rest  # gradients and hooks
    if not (isinstance(storage, Storage) and isinstance(shape, tuple) and isinstance(strides, tuple)):
        raise TypeError("not a tensor")
    if not all(isinstance(n, int) and n >= 0 for n in (offset, *shape, *strides)):
        raise ValueError("not a tensor's shape")
    return Tensor(storage, offset, shape, strides)


def _ordered_dict(entries: Any = ()) -> dict:
    """Return a dict of the [name, value] pairs, which only Python 2 stores in this call."""
    if not all(isinstance(name, str) for name, _ in entries):
        raise TypeError("not a state dict")
    return dict(entries)


def _array(tensor: Tensor, storages: Contents) -> np.ndarray:
    storage, offset, shape, strides = tensor
    raw, size = storages(storage.key), storage.dtype.itemsize
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    # NumPy's own check is not enough: its products of strides overflow. A stride of 0 would allow a huge array.
    if len(raw) != size * storage.length or last >= storage.length or math.prod(shape) > storage.length:
        raise ValueError("a tensor exceeds its storage")
    return np.ndarray(shape, storage.dtype, raw, size * offset, [size * stride for stride in strides])


def _is_class(name: str) -> bool:
    return name in CLASSES or name.partition(" ")[0].partition(".")[0] in CLASS_PACKAGES


# What else TorchScript archives and Lightning's checkpoints (with the settings of a training) refer to.
CLASS_PACKAGES = ("__torch__", "pytorch_lightning", "omegaconf")
BUILTIN_TYPES = ("dict", "list", "tuple", "str", "unicode", "int", "long", "float", "bool")
CLASSES = ("typing Any", "collections defaultdict",
           *(f"{module} {name}" for module in ("builtins", "__builtin__") for name in BUILTIN_TYPES))
# The names that a pickled state dict may refer to, and the functions and dtypes called for them.
GLOBALS = {
    "collections OrderedDict": _ordered_dict,
    "torch._utils _rebuild_tensor": _tensor,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": lambda tensor, *rest: tensor,
    **{f"torch {name}Storage": np.dtype(code) for name, code in DTYPES.items()},
    # Lists in TorchScript archives.
    **{f"torch.jit._pickle {name}": lambda value, *rest: value
       for name in ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist", "restore_type_tag")},
}
