"""Untrusted JSON and HTTP requests with unexpected structure."""

import asyncio
import json

import jax
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mai_jax import config as config_lib
from mai_jax import config_fields
from mai_jax.config import Config
from mai_jax.demo.gate import Gate
from mai_jax.errors import InputError, RunError
from mai_jax.evaluation.mask_benchmark import manifest
from mai_jax.evaluation.report import result_files
from tests.torture import seed_inputs, worker
from tools.results_page import load_results

DEEP = "[" * 100_000
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
                    max_leaves=6)  # fmt: skip
FIELDS = sorted(config_fields.flatten(config_lib.to_dict(Config()), "config"))
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(st.text(alphabet=st.characters(), max_size=3000))
@FEW
def test_a_message_is_one_printable_line(message):
    shown = str(RunError(message))
    assert shown.isprintable() and len(shown) <= 1200
    assert str(RunError(shown)) == shown
    if message.isprintable() and len(message) < 1000:
        assert shown == message


@given(st.sampled_from(FIELDS), JSON)
@FEW
def test_any_value_of_a_config_is_accepted_or_refused(name, value):
    values = config_lib.to_dict(Config())
    *sections, last = name.split(".")[1:]
    inner = values
    for section in sections:
        inner = inner[section]
    inner[last] = value
    try:
        config = config_lib.from_dict(values)
        config_lib.check(config)
    except InputError as error:
        assert str(error).startswith("config")
    else:
        assert config_lib.from_dict(json.loads(json.dumps(config_lib.to_dict(config)))) == config
        jax.random.key(config.seed)


@given(JSON)
@FEW
def test_any_json_is_accepted_as_a_config_or_refused(values):
    try:
        config_lib.from_dict(values)
    except InputError as error:
        assert str(error).startswith("config")


@pytest.mark.parametrize(("name", "value", "message"), [
    ("image_size", 2**40, "at most 4096"), ("image_size", True, "a whole number"), ("batch_size", 10**12, "at most"),
    ("seed", -1, "not be negative"), ("seed", 2**64, "at most"), ("remat", 1, "true or false"),
    ("losses.style", float("nan"), "a finite number"), ("losses.style", 10**400, "a finite number"),
    ("evaluation.edges", ("a", 0.5), "a finite number"), ("evaluation.edges", (), "must rise"), ("data", None, "Data"),
])
def test_unusable_values_of_a_config_are_refused(name, value, message):
    config = Config()
    *sections, last = name.split(".")
    for section in sections:
        inner = getattr(config, section)
    setattr(inner if sections else config, last, value)
    with pytest.raises(InputError, match=rf"^config\.{name}=.*{message}"):
        config_lib.check(config)


@pytest.fixture
def benchmark(tmp_path):
    worker.write(seed_inputs.manifests()[1], tmp_path)

    def write(line: int, **changed):
        path = tmp_path / manifest.NAME
        lines = [json.loads(text) for text in path.read_text().splitlines()]
        lines[line] |= changed
        path.write_text("".join(json.dumps(values) + "\n" for values in lines))
        return tmp_path

    return write


@pytest.mark.parametrize(("line", "changed"), [
    (0, {"size": -5}), (0, {"size": 0}), (0, {"size": 10**12}), (0, {"size": True}), (0, {"holes": True}),
    (0, {"version": "x" * 10**6}), (1, {"file": "a" * 5000}), (1, {"file": "\0"}), (1, {"file": "\ud800"}),
    (1, {"file": "../a.png"}), (1, {"file": "C:\\a.png"}), (1, {"id": "two\nlines", "file": "none"}),
])  # fmt: skip
def test_manifests_are_validated(benchmark, line, changed):
    with pytest.raises(InputError) as error:
        manifest.load(benchmark(line, **changed))
    assert str(error.value).isprintable() and len(str(error.value)) < 1300


@given(st.sampled_from(["format", "version", "holes", "size", "edges", "mask_means", "made_by"]), JSON)
@FEW
def test_any_value_of_a_manifest_is_accepted_or_refused(benchmark, name, value):
    try:
        listed = manifest.load(benchmark(0, **{name: value}))
        for entry in listed.entries:
            listed.read_hole(entry)
    except InputError as error:
        assert str(error).isprintable()


@pytest.mark.parametrize(("file", "old", "new"), [
    ("mai/result.json", b'"protocol"', b'"protokoll"'), ("mai/result.json", b'"MAI"', b"[]"),
    ("mai/result.json", None, b"[1]"), ("mai/result.json", None, DEEP.encode()),
    ("mai/records.jsonl", None, b"1\n2\n"), ("mai/records.jsonl", b'"id"', b'"name"'),
    ("pconv/records.jsonl", b"\n", b"\n\n"), ("mai/records.jsonl", b"mean_colour", b"colour"),
    ("mai/config.json", None, b"7"), ("mai/config.json", None, DEEP.encode()), ("mai/config.json", b"256", b'"256"'),
    ("mai/log.jsonl", b'"step"', b'"steps"'), ("mai/log.jsonl", b"10", b"[]"), ("mai/log.jsonl", None, b"[1]\n"),
    ("mai/log.jsonl", b"10", b'"a.png"'), ("table5.json", b"of_each_round", b"of_each"), ("table5.json", b"2.5", b"{}"),
    ("table5.json", None, b"\xff"), ("pconv/records.jsonl", None, b""),
])  # fmt: skip
def test_records_of_comparisons_are_validated(tmp_path, file, old, new):
    (tree,) = seed_inputs.comparisons()
    worker.write(tree, tmp_path / "whole")
    load_results.read(tmp_path / "whole", load_results.configs(tmp_path / "whole"))
    tree[file] = new if old is None else tree[file].replace(old, new)
    worker.write(tree, tmp_path / "changed")
    with pytest.raises(InputError) as error:
        load_results.read(tmp_path / "changed", load_results.configs(tmp_path / "changed"))
    assert str(tmp_path / "changed") in str(error.value)


def test_records_with_names_that_are_not_utf8_are_joined(tmp_path):
    (tree,) = seed_inputs.comparisons()
    tree = {name: content.replace(b"a.png", rb"caf\udce9.png") for name, content in tree.items()}
    worker.write(tree, tmp_path)
    with pytest.raises(InputError, match="measured on other photographs"):  # the digest is of the old names
        result_files.join([tmp_path / "mai", tmp_path / "pconv"], "default")


def post(headers: list[tuple[bytes, bytes]]) -> int:
    """Post to the page's server without sending a body. Return the status of the response."""
    responses = []

    async def receive():
        raise AssertionError("the body is read")

    async def send(message):
        responses.append(message)

    async def page(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    scope = {"type": "http", "method": "POST", "path": "/api/fill", "headers": headers, "query_string": b""}
    asyncio.run(Gate(page, None)(scope, receive, send))
    return responses[0]["status"]


def test_bodies_cannot_be_longer_than_announced():
    assert post([(b"content-length", b"2"), (b"transfer-encoding", b"chunked")]) == 411  # a server uses the second
    assert post([(b"content-length", b"9" * 5000)]) == 413
    assert post([(b"content-length", b"-2")]) == post([(b"content-length", b"")]) == post([]) == 411
    assert post([(b"content-length", b"2")]) == 200
