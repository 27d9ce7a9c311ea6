"""Indexing of a folder of mask files: the manifest, mask polarity, resizing and warnings."""

import numpy as np
import pytest
from PIL import Image

from mai_jax.config import Evaluation
from mai_jax.errors import InputError
from mai_jax.evaluation.mask_benchmark import generation, indexing, manifest

EDGES = (0.1, 0.3, 0.6)


def index(folder, output=None, size=None, edges=EDGES, mask_means="hole"):
    indexing.index(str(folder), output, size=size, edges=edges, mask_means=mask_means)
    return manifest.load(output or folder)


def rows(share, size=20):
    """Return a mask whose upper rows are white."""
    mask = np.zeros((size, size), np.uint8)
    mask[: round(share * size)] = 255
    return mask


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "masks" / "sub").mkdir(parents=True)
    Image.fromarray(rows(0.2)).save(tmp_path / "masks" / "b.png")
    Image.fromarray(rows(0.35)).save(tmp_path / "masks" / "sub" / "a.PNG", format="png")
    Image.fromarray(rows(0.9)).convert("RGB").save(tmp_path / "masks" / "c.jpg", quality=95)
    inside = np.zeros((20, 20), np.uint8)
    inside[1:-1, 1:-1] = 255
    inside[5:-5, 1:-1] = 0
    Image.fromarray(inside).save(tmp_path / "masks" / "d.png")
    return tmp_path / "masks"


def test_files_are_listed_and_not_changed(folder, caplog):
    caplog.set_level("INFO")
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    listed = index(folder)
    assert [(e.file, e.ratio, e.bin, e.border) for e in listed.entries] == [
        ("b.png", 0.2, 0, True), ("c.jpg", 0.9, None, True), ("d.png", 8 * 18 / 400, 1, False),
        ("sub/a.PNG", 0.35, 1, True)]
    assert {path: path.read_bytes() for path in folder.rglob("*.*")}.items() - before.items() == {
        (folder / manifest.NAME, (folder / manifest.NAME).read_bytes())}
    np.testing.assert_array_equal(listed.read_hole(listed.entries[3]), rows(0.35) > 0)
    assert [line.split() for line in caplog.messages[-1].splitlines()[1:]] == [
        ["bin", "on", "the", "border", "not"], ["(.1,.3]", "1", "0"], ["(.3,.6]", "1", "1"],
        ["outside", "all", "1", "0"]]


def test_a_second_run_replaces_the_list(folder, caplog):
    caplog.set_level("INFO")
    first = index(folder)
    assert index(folder) == first and "replaced" not in caplog.text
    second = index(folder, size=10, edges=(0.1, 0.5))
    assert second.header.size == 10 and second.header.edges == [0.1, 0.5] and "the earlier list is repl" in caplog.text


def test_indexing_a_generated_set_gives_its_entries(tmp_path):
    edges = Evaluation().edges
    generation.make(tmp_path / "set", size=48, per_bin=2, seed=0, edges=edges)
    generated, listed = manifest.load(tmp_path / "set"), index(tmp_path / "set", tmp_path / "index.jsonl", edges=edges)
    assert {(e.file, e.ratio, e.bin, e.border, e.sha256) for e in listed.entries} == {
        (f"set/{e.file}", e.ratio, e.bin, e.border, e.sha256) for e in generated.entries}


@pytest.mark.parametrize("size", [16, 32, 64, 128])
def test_resizing_is_by_nearest_neighbour(tmp_path, size):
    mask = np.random.default_rng(0).choice(np.uint8([0, 255]), (40, 64))
    Image.fromarray(mask).save(tmp_path / "m.png")
    listed = index(tmp_path, size=size)
    expected = np.asarray(Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST)) > 0
    np.testing.assert_array_equal(listed.read_hole(listed.entries[0]), expected)
    assert listed.entries[0].ratio == expected.mean()


def test_a_centre_between_two_pixels_selects_the_later_one():
    hole = np.repeat(np.array([[False] * 32 + [True] * 32]), 31, axis=0)
    hole = manifest.resize(hole, 31)  # the centre of column 15 is at 15.5 * 64 / 31 = 32
    np.testing.assert_array_equal(hole, np.tile(np.arange(31) >= 15, (31, 1)))


@pytest.mark.parametrize("mask_means", ["valid", "known"])
def test_white_may_mean_valid(folder, mask_means):
    assert [e.ratio for e in index(folder, mask_means=mask_means).entries] == [0.8, 0.1, 1 - 8 * 18 / 400, 0.65]


def test_suspect_masks_are_warned_of(folder, tmp_path, caplog):
    index(folder)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    index(folder, tmp_path / "other.jsonl", mask_means="valid")
    assert "half of the masks have more than 64 % hole" in caplog.text and "--mask-means=hole" in caplog.text
    grey = rows(0.5)
    grey[:2] = 127
    Image.fromarray(grey).save(folder / "grey.png")
    index(folder, tmp_path / "grey.jsonl")
    assert "1 of 5 masks have pixels that are neither black nor white (2.0 % of all)" in caplog.text


def test_invalid_inputs_are_rejected(folder, tmp_path):
    def rejected(message, folder=folder, **others):
        with pytest.raises(InputError, match=message):
            index(folder, **others)

    (folder / "bad.png").write_text("no image")
    rejected(r"bad\.png: is not an image of a known format")
    (folder / "bad.png").unlink()
    (tmp_path / "elsewhere").mkdir()
    rejected(r"put it into .*masks or above", output=tmp_path / "elsewhere" / "m.jsonl")
    rejected("there is no such folder", folder=tmp_path / "nowhere")
    rejected("holds no image", folder=tmp_path / "elsewhere")
    rejected("--size=0", size=0)
    rejected("must be hole or valid", mask_means="white")
    assert not (folder / manifest.NAME).exists()
