"""Segments of COCO files as holes: their pixels, the bins, the choice, and files that are refused."""

import json

import numpy as np
import pytest

from mai_jax.errors import InputError
from mai_jax.evaluation.mask_benchmark import coco, manifest

EDGES = (0.1, 0.3, 0.6)
IMAGE = {"id": 7, "height": 40, "width": 60}  # the central square is that of the columns 10 to 50
BOX = [20, 10, 40, 10, 40, 30, 20, 30]
SQUARE = {"id": 1, "image_id": 7, "segmentation": [BOX]}


def runs(mask):
    """Return the uncompressed run lengths of a mask, as pycocotools writes them."""
    values = mask.T.ravel()
    ends = np.flatnonzero(np.diff(values)) + 1
    counts = np.diff([0, *ends, values.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if values[0] else counts}


def write(path, *annotations, **changed):
    path.write_text(json.dumps({"images": [IMAGE], "annotations": annotations} | changed))
    return path


def make(path, output, size=40, per_bin=None, edges=EDGES):
    coco.make(path, output, size=size, per_bin=per_bin, edges=edges)
    return manifest.load(output)


@pytest.fixture
def mask():
    """A random mask of the photograph, with holes of both values in its corners."""
    return np.random.default_rng(0).random((40, 60)) < 0.4


def test_segments_are_cut_to_the_central_square_and_scaled(tmp_path, mask):
    lower = {"id": 2, "image_id": 7, "segmentation": [[10, 30, 50, 30, 50, 40, 10, 40], [0, 0, 10, 0, 10, 40]]}
    path = write(tmp_path / "a.json", SQUARE, lower, {"id": 3, "image_id": 7, "segmentation": runs(mask)},
                 {"id": 4, "image_id": 7, "segmentation": [[10, 0, 12, 0, 12, 40, 10, 40]]})
    listed = make(path, tmp_path / "set")
    assert [(entry.id, entry.bin, entry.border) for entry in listed.entries] == [
        ("000000000001", 0, False), ("000000000002", 0, True), ("000000000003", 1, True)]
    square, low, noise = map(listed.read_hole, listed.entries)
    expected = np.zeros((40, 40), bool)
    expected[10:30, 10:30] = True
    np.testing.assert_array_equal(square, expected)
    assert low[30:].all() and not low[:30].any()
    np.testing.assert_array_equal(noise, mask[:, 10:50])
    small = make(path, tmp_path / "small", size=20)
    np.testing.assert_array_equal(small.read_hole(small.entries[0]), expected[::2, ::2])


def test_the_choice_of_each_bin_depends_on_the_ids_alone(tmp_path):
    segments = [SQUARE | {"id": id} for id in range(30)]
    chosen = make(write(tmp_path / "a.json", *segments), tmp_path / "a", per_bin=4)
    turned = make(write(tmp_path / "b.json", *segments[::-1]), tmp_path / "b", per_bin=4)
    assert chosen.entries == turned.entries and len(chosen.entries) == 4
    assert {path.name for path in (tmp_path / "a").iterdir()} == {manifest.NAME, *(e.file for e in chosen.entries)}


@pytest.mark.parametrize(("content", "message"), [
    ({}, "segments has a hole ratio in the bins; give other --edges"),
    ({"images": []}, "has no lists of images and annotations"),
    ({"images": [IMAGE | {"height": "40"}]}, "an image has no whole numbers id, height and width"),
    ({"images": [IMAGE | {"height": 10**9}]}, "image 7 has 60 x 1000000000 pixels; the limit is"),
    ({"annotations": [SQUARE, SQUARE]}, "an annotation has no whole number as id, or that of another"),
    ({"annotations": [SQUARE | {"image_id": 8}]}, "annotation 1: its image 8 is not in the file"),
    ({"annotations": [SQUARE | {"segmentation": None}]}, "annotation 1: its segmentation is neither polygons nor"),
    *(({"annotations": [SQUARE | {"segmentation": [part]}]}, "annotation 1: its polygon is not a list x, y, x, y")
      for part in (BOX[:-1], BOX[:4], [*BOX[:-1], "a"], [*BOX[:-1], float("nan")], [*BOX[:-1], 1e300], 3)),
    *(({"annotations": [SQUARE | {"segmentation": {"size": [40, 60], "counts": counts} | more}]}, message)
      for counts, more, message in (
          ([2399], {}, "annotation 1: its run lengths are not those of 60 x 40 pixels"),
          ([2400], {"size": [60, 40]}, "its run lengths are not those of"),
          ([2401, -1], {}, "its run lengths are not those of"), ([2400.0], {}, "its run lengths are not those of"),
          ("abc", {}, "its run lengths are compressed, which is not supported"))),
])  # fmt: skip
def test_unusable_files_are_refused_and_nothing_is_written(tmp_path, content, message):
    small = SQUARE | {"segmentation": [[0, 0, 1, 0, 1, 1]]}
    path = write(tmp_path / "a.json", small, **content)
    with pytest.raises(InputError) as error:
        make(path, tmp_path / "set")
    assert message in str(error.value) and str(error.value).startswith(str(path))
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_that_is_not_empty_is_refused(tmp_path):
    path = write(tmp_path / "a.json", SQUARE)
    with pytest.raises(InputError, match="is not empty; empty it or name another folder"):
        make(path, tmp_path)
    (tmp_path / "set").mkdir()
    assert len(make(path, tmp_path / "set").entries) == 1
