"""Manifests: written values are read back, and any later change is rejected."""

import json
import re
from hashlib import sha256

import numpy as np
import pytest

from mai_jax.errors import InputError
from mai_jax.evaluation.mask_benchmark import manifest, plain_png

EDGES = (0.1, 0.3, 0.6)


@pytest.fixture
def folder(tmp_path):
    """Return a manifest of three holes of 20 x 16: a quarter of the rows, half of the rows, a small one inside."""
    holes = {"quarter": np.zeros((20, 16), bool), "half": np.zeros((20, 16), bool), "small": np.zeros((20, 16), bool)}
    holes["quarter"][:5] = holes["half"][:10] = holes["small"][5:8, 5:8] = True
    entries = []
    for name, hole in holes.items():
        content = plain_png.encode(hole)
        (tmp_path / f"{name}.png").write_bytes(content)
        entries.append(manifest.entry_of(name, f"{name}.png", content, hole, EDGES))
    manifest.write(tmp_path / manifest.NAME, entries, size=None, edges=list(EDGES), mask_means="hole", made_by={})
    return tmp_path


def edit(folder, line, **fields):
    """Change fields of one line of the manifest; the value ... removes a field."""
    path = folder / manifest.NAME
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    lines[line] = {key: value for key, value in (lines[line] | fields).items() if value is not ...}
    path.write_text("".join(json.dumps(values) + "\n" for values in lines))


def assert_rejected(path, message):
    with pytest.raises(InputError) as error:
        manifest.load(path)
    assert re.search(message, str(error.value)) and len(str(error.value).splitlines()) == 1, error.value


def test_a_written_manifest_is_read_back(folder):
    read = manifest.load(folder / manifest.NAME)
    assert read == manifest.load(str(folder))
    assert read.sha256 == sha256((folder / manifest.NAME).read_bytes()).hexdigest()
    assert [(e.id, e.ratio, e.bin, e.border) for e in read.entries] == [
        ("quarter", 0.25, 0, True), ("half", 0.5, 1, True), ("small", 9 / 320, None, False)]
    assert [e.id for e in read.entries_in_bin(1)] == ["half"] and not read.entries_in_bin(2)
    hole = read.read_hole(read.entries[0])
    assert hole.shape == (20, 16) and hole[:5].all() and not hole[5:].any()


def test_a_set_can_be_moved(folder, tmp_path_factory):
    new_folder = tmp_path_factory.mktemp("moved") / "set"
    before = manifest.load(folder)
    folder.rename(new_folder)
    after = manifest.load(new_folder)
    assert after.sha256 == before.sha256
    np.testing.assert_array_equal(after.read_hole(after.entries[1]).sum(), 160)


@pytest.mark.parametrize("mask_means", ["valid", "known"])
def test_masks_of_valid_pixels_are_inverted(folder, mask_means):
    edit(folder, 0, mask_means=mask_means)
    edit(folder, 2, ratio=0.5)
    read = manifest.load(folder)
    assert not read.read_hole(read.entries[1])[:10].any()


def test_a_changed_file_is_rejected_when_it_is_read(folder):
    read = manifest.load(folder)
    path = folder / "half.png"
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    manifest.load(folder)
    with pytest.raises(InputError, match=r"half\.png: has changed since"):
        read.read_hole(read.entries[1])
    path.unlink()
    with pytest.raises(InputError, match=r"half\.png: cannot be read"):
        read.read_hole(read.entries[1])
    edit(folder, 1, ratio=0.26)
    assert_rejected(folder, r"half\.png: is listed in manifest\.jsonl but missing")
    path.write_bytes(b"")
    read = manifest.load(folder)
    with pytest.raises(InputError, match=r"quarter\.png: has a hole ratio of 0\.25 and its manifest says 0\.26"):
        read.read_hole(read.entries[0])


@pytest.mark.parametrize(("line", "fields", "message"), [
    (0, dict(format="holes"), "is no manifest of holes"),
    (0, dict(version=2), "format version 2, and this program reads 1"),
    (0, dict(holes=4), "lists 3 of 4 holes"),
    (0, dict(edges=["a", "b"]), r"edges=.*rise within \[0, 1\]"),
    (0, dict(edges=[0.3, 0.1]), r"edges=.*rise within \[0, 1\]"),
    (0, dict(size="64"), "line 1: field size is missing or of a wrong type"),
    (0, dict(mask_means="white"), "mask_means='white': must be hole or valid"),
    (1, dict(file="../quarter.png"), "line 2: '../quarter.png' is outside of the manifest's folder"),
    (1, dict(file="a/../../quarter.png"), "line 2: .* is outside"),
    (1, dict(file="/etc/passwd"), "line 2: .* is outside"),
    (1, dict(file="..\\quarter.png"), "line 2: .* is outside"),
    (1, dict(file="C:\\quarter.png"), "line 2: .* is outside"),
    (1, dict(id="half"), "lists 'half' twice"),
    (1, dict(file="gone.png"), r"gone\.png: is listed in manifest\.jsonl but missing"),
    (1, dict(ratio=0.35), r"line 2: a ratio of 0\.35 is not in bin 0"),
    (1, dict(ratio=float("nan"), bin=None), "line 2: a ratio of nan"),
    (2, dict(sha256=...), "line 3: field sha256 is missing"),
    (3, dict(bin="0"), "line 4: field bin is missing or of a wrong type"),
    (3, dict(more=1), "line 4: field more is unknown"),
])  # fmt: skip
def test_an_edited_manifest_is_rejected(folder, line, fields, message):
    edit(folder, line, **fields)
    assert_rejected(folder, message)


def test_a_file_that_is_no_manifest_is_rejected(folder):
    path = folder / manifest.NAME
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert_rejected(folder, r"manifest\.jsonl: line 4: is no JSON object")
    for content in (b"", b"[1]\n", b"\xff\xfe"):
        path.write_bytes(content)
        assert_rejected(folder, r"manifest\.jsonl: line 1: is no JSON object")
    assert_rejected(folder / "nothing.jsonl", r"nothing\.jsonl: cannot be read \(No such file")
    (folder / "empty").mkdir()
    assert_rejected(folder / "empty", r"empty: holds no manifest\.jsonl; list its masks with `mai masks bin .*/empty")


def test_another_manifest_is_not_overwritten(folder):
    path = folder / manifest.NAME
    read, before = manifest.load(path), path.read_bytes()
    header = dict(size=None, edges=list(EDGES), mask_means="hole", made_by={})
    manifest.write(path, read.entries, **header)
    with pytest.raises(InputError, match="exists and lists another set"):
        manifest.write(path, read.entries[1:], **header)
    with pytest.raises(InputError, match="exists and lists another set"):
        manifest.write(path, read.entries[1:], replace=True, **header | {"made_by": {"command": "bin"}})
    assert path.read_bytes() == before
    path.write_text("another file")
    with pytest.raises(InputError, match="exists and lists another set"):
        manifest.write(path, read.entries, replace=True, **header | {"made_by": {"command": "bin"}})
