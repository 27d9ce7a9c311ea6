"""Generation of a mask benchmark: the set of holes, its bytes, and output folders that are not empty."""

import itertools
import json

import numpy as np
import pytest
from PIL import Image

from mai_jax.config import Evaluation
from mai_jax.errors import InputError
from mai_jax.evaluation.mask_benchmark import generation, manifest, plain_png
from mai_jax.evaluation.ratio_bins import counts_in_bin

EDGES = Evaluation().edges


def make(folder, size=64, per_bin=2, seed=7, edges=EDGES):
    generation.make(folder, size=size, per_bin=per_bin, seed=seed, edges=edges)
    return manifest.load(folder)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_golden(tmp_path):
    """The hash of the manifest covers the whole set. If it must change, increase the version of what changed."""
    assert make(tmp_path).sha256 == "52ef36a663658e744ccf2011906f4cf94107eacb441bd66f4327a2722f606ccb"


def test_every_bin_has_its_holes(tmp_path):
    generated = make(tmp_path / "set", per_bin=5)
    for number, (lo, hi) in enumerate(itertools.pairwise(EDGES)):
        smallest, largest = counts_in_bin(lo, hi, 64**2)
        entries = generated.entries_in_bin(number)
        assert [entry.border for entry in entries] == [True] * 5 + [False] * 5
        for group in (entries[:5], entries[5:]):
            shares = np.array([(entry.ratio * 64**2 - smallest) / (largest - smallest) for entry in group])
            assert shares.min() >= 0 and shares.max() <= 1
            assert np.bincount((shares * 2.999).astype(int), minlength=3).min() >= 1  # every third of the bin
        for entry in entries:
            hole = generated.read_hole(entry)
            with Image.open(tmp_path / "set" / entry.file) as image:
                np.testing.assert_array_equal(np.asarray(image), hole)  # white = hole
            assert hole.mean() == entry.ratio
            border = hole.copy()
            border[6:-6, 6:-6] = False
            assert border.any() == entry.border
    assert len(generated.entries) == 2 * 5 * 6 == len({entry.sha256 for entry in generated.entries})


def test_a_smaller_set_is_a_prefix_of_a_larger_one(tmp_path):
    larger = {entry.id: entry.sha256 for entry in make(tmp_path / "larger").entries}
    for smaller in (make(tmp_path / "fewer", per_bin=1), make(tmp_path / "one bin", edges=(0.2, 0.3))):
        assert {entry.id: entry.sha256 for entry in smaller.entries}.items() < larger.items()
    other = {entry.sha256 for entry in make(tmp_path / "other", per_bin=1, seed=8).entries}
    assert not other & set(larger.values())


def test_the_same_set_is_kept_and_any_other_is_rejected(tmp_path):
    make(tmp_path, edges=(0.1, 0.3))
    before = contents(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    make(tmp_path, edges=(0.1, 0.3))
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match="holds other files than this set"):
        make(tmp_path, edges=(0.1, 0.3), per_bin=1)
    with pytest.raises(InputError, match="holds other files than this set"):
        make(tmp_path, edges=(0.1, 0.3), seed=8)
    assert contents(tmp_path) == before
    header, *entries = (tmp_path / manifest.NAME).read_text().splitlines()
    (tmp_path / manifest.NAME).write_text("\n".join([header, *reversed(entries)]))
    with pytest.raises(InputError, match="lists another set"):
        make(tmp_path, edges=(0.1, 0.3))


def test_an_incomplete_set_is_rejected(tmp_path, monkeypatch):
    encode, calls = plain_png.encode, []

    def interrupted(hole):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return encode(hole)

    monkeypatch.setattr(plain_png, "encode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path)
    assert len(contents(tmp_path)) == 4
    with pytest.raises(InputError, match=r"holds no manifest\.jsonl"):
        manifest.load(tmp_path)
    with pytest.raises(InputError, match="a part of it; empty it"):
        make(tmp_path)


@pytest.mark.parametrize(("invalid", "message"), [
    (dict(edges=(0.6, 0.7)), r"a hole with a margin of 6 pixels to the border is at most 0\.660 .* end below 0\.7"),
    (dict(edges=(0.1, 0.10005)), r"--edges: no hole in an image of 4096 pixels"),
    (dict(edges=(0.2, 0.1)), r"--edges=\(0\.2, 0\.1\): must be at least two numbers that rise"),
    (dict(size=8), "--size=8: must be at least 16"),
    (dict(per_bin=0), "--per-bin=0: must be at least 1"),
])  # fmt: skip
def test_impossible_sets_are_rejected(tmp_path, invalid, message):
    with pytest.raises(InputError, match=message):
        make(tmp_path / "set", **invalid)
    assert not (tmp_path / "set").exists()


def test_the_header_records_the_provenance(tmp_path):
    make(tmp_path, per_bin=1)
    assert json.loads((tmp_path / manifest.NAME).read_text().splitlines()[0]) == {
        "format": "mai_jax holes", "version": 1, "holes": 12, "size": 64, "edges": list(EDGES), "mask_means": "hole",
        "made_by": {"command": "make", "strokes": 1, "seed": 7, "per_bin": 1, "margin": 6}}
