"""Build the bytes of files like those of `torch.save`, also of invalid ones."""

import io
import struct
import zipfile

import numpy as np

MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # the instruction LONG1
NONE, FALSE = b"N", b"\x89"


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    short = -(2**31) <= value < 2**31
    return b"J" + struct.pack("<i", value) if short else b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def group(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def numbers(values) -> bytes:
    return group(*map(number, values))


def mapping(**entries: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in entries.items()) + b"u"


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + group(*arguments) + b"R"


def made(cls: bytes, state: bytes) -> bytes:
    """Return an object with these attributes; its class has the instruction NEWOBJ make it."""
    return cls + b")\x81" + state + b"b"


def storage(key: str, count: int, kind: str = "FloatStorage", *view: bytes) -> bytes:
    return group(text("storage"), name("torch", kind), text(key), text("cuda:0"), number(count), *view) + b"Q"


def tensor(stored: bytes, offset: int, shape, strides) -> bytes:
    hooks = call(name("collections", "OrderedDict"))
    return call(name("torch._utils", "_rebuild_tensor_v2"), stored, number(offset), numbers(shape), numbers(strides),
                FALSE, hooks)


def pickled(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def legacy(content: bytes, storages: dict[str, np.ndarray]) -> bytes:
    """Return a file in the format before PyTorch 1.6."""
    keys = b"](" + b"".join(map(text, storages)) + b"e"
    raw = b"".join(struct.pack("<q", array.size) + array.tobytes() for array in storages.values())
    return b"".join(map(pickled, (MAGIC, number(1001), mapping(), content, keys))) + raw


def zipped(
    content: bytes, storages: dict[str, np.ndarray], compression: int = zipfile.ZIP_STORED, code: str = ""
) -> bytes:
    """Return a zip file, the format since PyTorch 1.6; a TorchScript archive also has code, which is compressed."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled(content))
        archive.writestr("archive/version", b"3\n")
        for key, array in storages.items():
            archive.writestr(f"archive/data/{key}", array.tobytes())
        if code:
            archive.writestr("archive/code/__torch__.py", code, zipfile.ZIP_DEFLATED)
    return file.getvalue()
