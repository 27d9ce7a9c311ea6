"""Files of state dicts are read exactly and never executed; an error message is one line."""

import zipfile

import numpy as np
import pytest
import safetensors.numpy

from mai_jax import unpickle
from mai_jax.convert import torch_files
from mai_jax.errors import InputError
from tests.convert.torch_bytes import (
    FALSE,
    NONE,
    call,
    group,
    legacy,
    made,
    mapping,
    name,
    number,
    numbers,
    storage,
    tensor,
    text,
    zipped,
)

FORMATS = pytest.mark.parametrize("form", [legacy, zipped])
ARRAY = np.arange(12, dtype=np.float32)
STORAGES = {"0": ARRAY, "1": np.array([5], np.int64)}
WEIGHT = tensor(storage("0", 12), 2, (2, 3), (4, 1))
COUNT = tensor(storage("1", 1, "LongStorage"), 0, (), ())
STATE_DICT = mapping(weight=WEIGHT, count=COUNT)


def read(folder, content: bytes, file: str = "file.pth"):
    """Write the content to a file and read its state dict."""
    path = folder / file
    path.write_bytes(content)
    return torch_files.read(path)


def error_message(folder, content: bytes) -> str:
    """Return the message of the InputError that reading this content raises."""
    with pytest.raises(InputError) as error:
        read(folder, content)
    message = str(error.value)
    assert "\n" not in message and "file.pth: " in message
    return message


@FORMATS
def test_views_of_storages_are_read(tmp_path, form):
    found = read(tmp_path, form(STATE_DICT, STORAGES))
    assert set(found) == {"weight", "count"}
    np.testing.assert_array_equal(found["weight"], [[2, 3, 4], [6, 7, 8]])
    assert found["count"] == 5 and found["count"].dtype == np.int64


@FORMATS
def test_tensors_of_one_storage_share_memory(tmp_path, form):
    found = read(tmp_path, form(mapping(one=WEIGHT, other=WEIGHT, count=COUNT), STORAGES))
    assert np.shares_memory(found["one"], found["other"])


@FORMATS
@pytest.mark.parametrize("content", [
    mapping(iteration=number(7), generator=STATE_DICT),
    mapping(n_iter=number(7), model=STATE_DICT, optimizer=mapping(state=b"}" + number(3) + mapping(step=COUNT) + b"s")),
    mapping(**{"module.weight": WEIGHT, "module.count": COUNT}),
    call(name("collections", "OrderedDict")) + b"(" + text("weight") + WEIGHT + text("count") + COUNT + b"u"
    + mapping(_metadata=mapping(version=number(1))) + b"b",
    mapping(weight=call(name("torch._utils", "_rebuild_parameter"), WEIGHT, NONE, NONE), count=COUNT),
    # Of PyTorch Lightning: settings and states of callbacks are objects, and a class is a key.
    mapping(callbacks=b"}" + name("pytorch_lightning.callbacks", "ModelCheckpoint") + mapping(score=COUNT) + b"s",
            hyper_parameters=made(name("omegaconf.dictconfig", "DictConfig"), mapping(
                _metadata=made(name("omegaconf.base", "Metadata"), mapping(type=name("__builtin__", "dict"))),
                _content=call(name("collections", "defaultdict"), name("typing", "Any")))), state_dict=STATE_DICT),
    # Of Python 2: names are byte strings, and an OrderedDict is a call with a list of pairs.
    call(name("collections", "OrderedDict"), b"](](U\x06weight" + WEIGHT + b"e](T\x05\0\0\0count" + COUNT + b"ee"),
])  # fmt: skip
def test_the_state_dict_is_found(tmp_path, form, content):
    found = read(tmp_path, form(content, STORAGES))
    np.testing.assert_equal(found, read(tmp_path, form(STATE_DICT, STORAGES)))


def module(**attributes: bytes) -> bytes:
    """Return a module of a TorchScript archive."""
    state = mapping(training=FALSE, _is_full_backward_hook=NONE, **attributes)
    return made(name("__torch__.torch.nn", "Module"), state)


def test_the_tensors_of_a_torchscript_archive_have_the_names_of_a_state_dict(tmp_path):
    shared = module(weight=WEIGHT) + b"q\1"
    model = module(**{"0": module(bias=COUNT), "1": shared, "2": module()})
    found = read(tmp_path, zipped(module(model=model, same=b"h\1", count=COUNT), STORAGES, code=10_000 * "#"))
    assert set(found) == {"model.0.bias", "same.weight", "count"}  # a shared module has one of its names
    np.testing.assert_array_equal(found["same.weight"], [[2, 3, 4], [6, 7, 8]])


def test_modules_are_visited_once_and_their_names_are_limited(tmp_path):
    nested = module(weight=WEIGHT)
    for i in range(60):  # 2**60 names of one tensor
        nested = module(a=nested + b"q" + bytes([i]), b=b"h" + bytes([i]))
    assert len(read(tmp_path, zipped(nested, STORAGES))) == 1
    around = name("__torch__", "Module") + b")\x81q\1" + mapping(weight=WEIGHT, inner=b"h\1") + b"b"
    assert set(read(tmp_path, zipped(around, STORAGES))) == {"weight"}
    for _ in range(60):
        nested = module(module=nested)
    assert "longer than 200 characters" in error_message(tmp_path, zipped(nested, STORAGES))


@pytest.mark.parametrize(("content", "named"), [
    (mapping(generator=STATE_DICT, average=STATE_DICT, step=number(1)),
     ["'generator', 'average', 'step'", "more than one"]),
    (mapping(a=number(1)), ["'a'", "none"]),
    (mapping(), ["nothing"]),
    (b"]", ["list"]),
    (group(text("module"), name("networks", "UNet"), NONE, NONE) + b"Q", ["networks UNet"]),  # a whole module
    (module(), ["nothing"]),
    (made(name("__torch__", "Module"), NONE), ["nothing"]),
    (made(name("networks", "UNet"), mapping(weight=WEIGHT)), ["networks UNet"]),
])  # fmt: skip
def test_an_error_describes_content_without_one_state_dict(tmp_path, content, named):
    message = error_message(tmp_path, zipped(content, STORAGES))
    assert [part for part in named if part not in message] == []


def attacks(trace) -> dict[str, bytes]:
    """Return pickles that would run a command, by the name or instruction that the error must name."""
    touch = text(f"touch {trace}")
    return {
        "posix system": call(name("posix", "system"), touch),
        "os system": mapping(weight=call(name("os", "system"), touch)),
        "builtins eval": call(name("builtins", "eval"), text(f"open({str(trace)!r}, 'w')")),
        "torch.storage _load_from_bytes": call(name("torch.storage", "_load_from_bytes"), touch),
        "__builtin__ getattr": call(name("__builtin__", "getattr"), name("os", "system"), text("__call__")),
        "INST": b"(" + touch + b"iposix\nsystem\n",
        "STACK_GLOBAL": text("posix") + text("system") + b"\x93" + group(touch) + b"R",
        "NEWOBJ": name("collections", "OrderedDict") + b")\x81",
        "__torch__x y": made(name("__torch__x", "y"), mapping()),
        "posix open": module(weight=call(name("posix", "open"), touch)),
        "builtins getattr": call(name("__torch__", "M"), call(name("builtins", "getattr"), touch)),
        "EXT1": b"\x82\x01",
    }


@FORMATS
def test_nothing_is_executed(tmp_path, form):
    trace = tmp_path / "trace"
    for named, attack in attacks(trace).items():
        message = error_message(tmp_path, form(attack, STORAGES))
        assert named in message
        assert not trace.exists()


@FORMATS
@pytest.mark.parametrize("wrong", [
    tensor(storage("0", 12), 7, (2, 3), (4, 1)),  # ends after the storage
    tensor(storage("0", 12), -1, (2,), (1,)),
    tensor(storage("0", 12), 0, (2,), (-1,)),
    tensor(storage("0", 12), 0, (2**30, 2**30), (0, 0)),  # a huge array by stride 0
    tensor(storage("0", 12), 0, (2, 3), (1,)),
    tensor(storage("0", 12), 0, (5,), (2**60,)),  # 4 * 4 * 2**60 is 0 in 64 bits
    tensor(storage("0", 12), 0, (5,), (-(2**60),)),
    tensor(storage("0", 2**31 - 1), 0, (2**31 - 1,), (1,)),  # more than the file has
    tensor(storage("0", -12), 0, (2,), (1,)),
    tensor(storage("9", 12), 0, (2,), (1,)),
    tensor(storage("0", 12, "DoubleStorage"), 0, (2,), (1,)),
    tensor(storage("0", 12, "FloatStorage", numbers((0, 1, 2))), 0, (2,), (1,)),
    tensor(number(3), 0, (2,), (1,)),
])  # fmt: skip
def test_tensors_stay_within_their_storage(tmp_path, form, wrong):
    error_message(tmp_path, form(mapping(weight=wrong), {"0": ARRAY}))


def test_content_that_would_exhaust_memory_or_stack_is_rejected(tmp_path, monkeypatch):
    tuple_key = b"}" + group() + NONE + b"s"  # hashing deeply nested tuples would overflow the stack
    error_message(tmp_path, zipped(mapping(generator=STATE_DICT, other=tuple_key), STORAGES))
    tuple_key = call(name("collections", "OrderedDict"), b"](](" + group() + WEIGHT + b"ee")
    error_message(tmp_path, zipped(mapping(generator=STATE_DICT, other=tuple_key), STORAGES))
    error_message(tmp_path, zipped(NONE + b"r\xff\xff\xff\xff" + b"\x8e" + 8 * b"\x7f", {}))
    assert "compressed" in error_message(tmp_path, zipped(STATE_DICT, {"0": np.zeros(10**6)}, zipfile.ZIP_DEFLATED))
    monkeypatch.setattr(unpickle, "MAX_INSTRUCTIONS", 1000)
    assert "instructions" in error_message(tmp_path, zipped(2000 * b"N", {}))


def valid_files() -> dict[str, bytes]:
    tensors = {"weight": ARRAY.reshape(3, 4), "count": STORAGES["1"]}
    return {"legacy.pth": legacy(STATE_DICT, STORAGES), "zip.pth": zipped(STATE_DICT, STORAGES),
            "script.pt": zipped(module(inner=module(weight=WEIGHT), count=COUNT), STORAGES, code=100 * "#"),
            "file.safetensors": safetensors.numpy.save(tensors)}  # fmt: skip


@pytest.mark.parametrize("file", valid_files())
def test_truncated_files_are_rejected(tmp_path, file):
    content = valid_files()[file]
    for length in range(0, len(content), 7):
        with pytest.raises(InputError):
            read(tmp_path, content[:length], file)


@pytest.mark.parametrize("file", valid_files())
def test_a_corrupt_file_gives_a_state_dict_or_an_input_error(tmp_path, file):
    rng = np.random.default_rng(0)
    content, errors = valid_files()[file], 0
    for _ in range(300):
        changed = bytearray(content)
        for at in rng.integers(0, len(content), rng.integers(1, 4)):
            changed[at] = rng.integers(0, 256)
        try:
            found = read(tmp_path, bytes(changed), file)
        except InputError as error:
            assert "\n" not in str(error)
            errors += 1
        else:
            assert all(isinstance(array, np.ndarray) for array in found.values())
    assert 50 < errors < 300


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        torch_files.read(tmp_path / "none.pth")


@pytest.mark.parametrize("old", [False, True])
def test_files_of_torch_save_are_read(tmp_path, old):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle: install the extra `dev`")
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.rand(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    base = torch.rand(6, 8, dtype=torch.float64)
    others = {"view": base[1:4, ::2], "transposed": base.t(), "half": base.half(), "flags": base > 0.5,
              "bytes": (255 * base).byte(), "parameter": torch.nn.Parameter(base)}  # fmt: skip
    content = {"n_iter": 3, "model": network.state_dict() | others, "optimizer": optimizer.state_dict()}
    torch.save(content, tmp_path / "file.pth", _use_new_zipfile_serialization=not old)
    found = torch_files.read(tmp_path / "file.pth")
    expected = {key: value.detach().numpy() for key, value in content["model"].items()}
    assert {key: value.dtype for key, value in found.items()} == {key: v.dtype for key, v in expected.items()}
    np.testing.assert_equal(found, expected)
