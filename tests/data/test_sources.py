"""Sources: folders, the held-out part, the sample photographs, and the error messages."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from mai_jax.config import Data
from mai_jax.data import sources
from mai_jax.data.sources import open_source
from mai_jax.errors import InputError


def fill(root, names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return str(root)


def ids(source):
    return [source[i]["id"] for i in range(len(source))]


def test_folder_is_searched_recursively_in_any_letter_case_and_sorted(tmp_path):
    images = ["b.JPG", "a/z.jpeg", "a/y.PnG", "a.webp", "a/deep/er/x.tif", "ä.bmp", "B.ppm"]
    root = fill(tmp_path, [*images, "notes.txt", ".hidden.jpg", ".git/x.png", "jpg", "a/.cache/y.png", "x.jpg.part"])
    (tmp_path / "empty.png").mkdir()
    source = open_source(Data(train="sample_photos", test=root), "test")
    assert ids(source) == sorted(images)
    assert all(source[i]["bytes"] == source[i]["id"].encode() for i in range(len(source)))
    assert isinstance(source, sources.Source)


def test_links_are_followed_and_loops_of_links_end(tmp_path):
    fill(tmp_path / "far", ["c.png"])
    fill(tmp_path / "root", ["a.png", "sub/b.png"])
    os.symlink(tmp_path / "root", tmp_path / "root" / "sub" / "loop")
    os.symlink(tmp_path / "far", tmp_path / "root" / "far")
    os.symlink(tmp_path / "root", tmp_path / "link")
    for root in ("root", "link"):
        assert ids(open_source(Data(test=str(tmp_path / root)), "test")) == ["a.png", "far/c.png", "sub/b.png"]


def test_relative_folder_and_home(tmp_path, monkeypatch):
    fill(tmp_path, ["x/a.png", "x/b/c.png"])
    monkeypatch.chdir(tmp_path / "x")
    monkeypatch.setenv("HOME", str(tmp_path))
    for folder in (".", "../x", "~/x", str(tmp_path / "x")):
        assert ids(open_source(Data(test=folder), "test")) == ["a.png", "b/c.png"]


@pytest.mark.parametrize("count", [2, 3, 30, 2000])
def test_training_and_held_out_part_are_a_partition(tmp_path, count):
    names = [f"{i:04}.jpg" for i in range(count)]
    data = Data(train=fill(tmp_path, names))
    train, test = ids(open_source(data, "train")), ids(open_source(data, "test"))
    assert sorted(train + test) == names and train == sorted(train) and test == sorted(test)
    assert len(train) >= 1 and len(test) >= 1
    assert count < 2000 or 70 < len(test) < 130


def test_an_image_stays_in_its_part_when_others_are_removed(tmp_path):
    names = [f"{i:04}.jpg" for i in range(400)]
    data = Data(train=fill(tmp_path, names))
    before = set(ids(open_source(data, "test")))
    for name in names[::3]:
        (tmp_path / name).unlink()
    assert set(ids(open_source(data, "test"))) == before - set(names[::3])


def test_with_a_test_source_training_uses_the_whole_folder(tmp_path, caplog):
    train, test = fill(tmp_path / "train", ["a.png", "b.png"]), fill(tmp_path / "test", ["c.png"])
    data = Data(train=train, test=test)
    assert ids(open_source(data, "train")) == ["a.png", "b.png"] and ids(open_source(data, "test")) == ["c.png"]
    assert len(open_source(Data(train=train, test="sample_photos"), "test")) == 3
    assert not caplog.records
    open_source(Data(train=str(tmp_path), test=test), "train")
    assert "the test images are also used for training" in caplog.text


@pytest.mark.parametrize("field", ["train", "test"])
def test_unusable_names_are_refused(tmp_path, field):
    (tmp_path / "empty").mkdir()
    fill(tmp_path, ["one/a.png", "file.png"])
    cases = {
        "place2": "is neither a folder, a list or an archive of images, nor one of sample_photos, places2, ",
        str(tmp_path / "gone"): "is neither a folder",
        str(tmp_path / "empty"): r"holds no image; looked for \.jpg \.jpeg .*\.tiff",
        str(tmp_path / "file.png"): "is a file; name the folder",
    }
    for name, message in cases.items():
        with pytest.raises(InputError, match=rf"^config\.data\.{field}='{name}': {message}"):
            open_source(Data(**{field: name}), field)
    with pytest.raises(InputError, match="is neither a folder"):
        open_source(Data(train=""), "train")
    for part in ("train", "test"):
        with pytest.raises(InputError, match="a single image and one must be held out"):
            open_source(Data(train=str(tmp_path / "one")), part)


def test_a_missing_file_is_named(tmp_path):
    source = open_source(Data(test=fill(tmp_path, ["a.png", "b.png"])), "test")
    (tmp_path / "b.png").unlink()
    with pytest.raises(InputError, match=r"b\.png: cannot be read \(No such file or directory\)"):
        source[1]


def test_repr_depends_on_the_names_and_not_on_the_folder(tmp_path):
    a = open_source(Data(test=fill(tmp_path / "a", ["x.png", "y.png"])), "test")
    b = open_source(Data(test=fill(tmp_path / "b", ["x.png", "y.png"])), "test")
    c = open_source(Data(test=fill(tmp_path / "c", ["x.png", "z.png"])), "test")
    assert repr(a) == repr(b) != repr(c)


def test_sample_photos_are_colour_photographs_in_two_parts():
    train, test = (open_source(Data(), part) for part in ("train", "test"))
    assert len(train) == 6 and len(test) == 3 and not set(ids(train)) & set(ids(test))
    assert not any("motorcycle" in name for name in ids(test))
    for source in (train, test):
        for i in range(len(source)):
            image = np.asarray(Image.open(io.BytesIO(source[i]["bytes"])))
            assert image.ndim == 3 and min(image.shape[:2]) >= 300
            assert np.ptp(image.astype(int), axis=-1).mean() > 3  # coloured
