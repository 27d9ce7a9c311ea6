"""State dicts in files: .safetensors, and what `torch.save` writes, zip files since PyTorch 1.6 and its own before.

Nothing in a file is executed, and nothing in it makes the reader take more memory than a small multiple of its size.
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

from mai_jax.models.convert import unpickle
from mai_jax.types import InputError

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001  # of the old format
DTYPES = {"Float": "<f4", "Double": "<f8", "Half": "<f2", "Long": "<i8", "Int": "<i4", "Short": "<i2", "Char": "i1",
          "Byte": "u1", "Bool": "?"}  # fmt: skip
LISTED = 8  # names in a message


class Storage(NamedTuple):
    """Numbers behind one another, which the file keeps under a key."""

    dtype: np.dtype
    key: str
    count: int


class Tensor(NamedTuple):
    """A view of a storage: offset and strides count numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


Contents = Callable[[str], bytes | memoryview]  # by a storage's key


def read(path: Path) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The one state dict that the file holds, itself or as an entry, by the names of a network on one device.

    Raises InputError, in one line that names the file.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    data = path.read_bytes()
    try:
        if path.suffix == ".safetensors":
            return _without_prefix(_state_dict(safetensors.numpy.load(data)))
        held, contents = (_zip if data.startswith(b"PK") else _legacy)(data)
        return _without_prefix({name: _array(tensor, contents) for name, tensor in _state_dict(held).items()})
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # a damaged file breaks zip, pickle and tensors in a dozen ways
        what = "damaged, or neither .safetensors nor written by torch.save"
        raise InputError(f"{path}: {what}; fetch it again") from error


def _state_dict(held: Any) -> dict[str, Any]:
    """`held`, or its only entry that is a dict of tensors, as of EdgeConnect's {"iteration": ..., "generator": ...}."""
    if _is_state_dict(held):
        return held
    if not isinstance(held, dict):
        raise InputError(f"holds a {type(held).__name__}; give the file of a state dict")
    found = [value for value in held.values() if _is_state_dict(value)]
    if len(found) != 1:
        listed = ", ".join(repr(name)[:40] for name in list(held)[:LISTED]) + (", ..." if len(held) > LISTED else "")
        many = "more than one" if found else "none"
        raise InputError(f"holds {listed or 'nothing'}: {many} of them is a dict of tensors; save the state dict alone")
    return found[0]


def _is_state_dict(value: Any) -> bool:
    return (isinstance(value, dict) and len(value) > 0
            and all(isinstance(k, str) and isinstance(v, Tensor | np.ndarray) for k, v in value.items()))  # fmt: skip


def _without_prefix(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Training on several GPUs puts "module." before every name; PIC's public weights have it."""
    if not all(name.startswith("module.") for name in tensors):
        return tensors
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def _zip(data: bytes) -> tuple[Any, Contents]:
    archive = zipfile.ZipFile(io.BytesIO(data))
    entries = archive.infolist()
    plain = all(e.compress_type == zipfile.ZIP_STORED and e.compress_size == e.file_size for e in entries)
    if not plain or sum(e.file_size for e in entries) > len(data):
        raise InputError("its entries are compressed or overlap, as torch.save writes none; save it anew with it")
    pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise InputError("a zip file without data.pkl, which torch.save did not write; give the file of a state dict")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
        raise InputError("its numbers are big-endian; save it anew on another machine")
    held = unpickle.load(io.BytesIO(archive.read(pickles[0])), TABLE, _storage)
    return held, functools.cache(lambda key: archive.read(f"{folder}data/{key}"))


def _legacy(data: bytes) -> tuple[Any, Contents]:
    """Five pickles: magic number, version, the machine, the object, the storages' keys; then the storages."""
    file = io.BytesIO(data)
    storages: dict[str, Storage] = {}

    def stored(*identifier: Any) -> Storage:
        storage = _storage(*identifier)
        if storages.setdefault(storage.key, storage) != storage:
            raise ValueError("two descriptions of one storage")
        return storage

    magic, version, _, held, keys = (unpickle.load(file, TABLE, stored) for _ in range(5))
    if (magic, version) != (MAGIC, VERSION):
        raise ValueError("not this format")
    found, at = {}, file.tell()
    for key in keys:
        (count,) = struct.unpack_from("<q", data, at)
        if count != storages[key].count:
            raise ValueError("a storage's size differs from its description's")
        start, at = at + 8, at + 8 + count * storages[key].dtype.itemsize
        found[key] = memoryview(data)[start:at]
    return held, found.__getitem__


def _storage(kind: Any, dtype: Any, key: Any, location: Any, count: Any, view: Any = None) -> Storage:
    del location  # the device it came from
    fits = isinstance(dtype, np.dtype) and isinstance(key, str) and isinstance(count, int) and view is None
    if not (isinstance(kind, str) and kind == "storage" and fits):
        raise TypeError("not a storage")
    return Storage(dtype, key, count)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Tensor:
    del rest  # gradients and hooks
    if not (isinstance(storage, Storage) and isinstance(shape, tuple) and isinstance(strides, tuple)):
        raise TypeError("not a tensor")
    if not all(isinstance(n, int) and n >= 0 for n in (offset, *shape, *strides)):
        raise ValueError("not a tensor's shape")
    return Tensor(storage, offset, shape, strides)


def _array(tensor: Tensor, contents: Contents) -> np.ndarray:
    storage, offset, shape, strides = tensor
    raw, size = contents(storage.key), storage.dtype.itemsize
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    # NumPy's own check is not enough: its products of strides overflow. And a stride of 0 would make much of little.
    if len(raw) != size * storage.count or last >= storage.count or math.prod(shape) > storage.count:
        raise ValueError("a tensor reaches out of its storage")
    return np.ndarray(shape, storage.dtype, raw, size * offset, [size * stride for stride in strides])


# What the names in a pickled state dict stand for here.
TABLE = {
    "collections OrderedDict": lambda: {},
    "torch._utils _rebuild_tensor": _tensor,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": lambda tensor, *rest: tensor,
    **{f"torch {name}Storage": np.dtype(code) for name, code in DTYPES.items()},
}
