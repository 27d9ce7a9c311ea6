"""Data sets of the Hugging Face hub, with a stand-in for its library, which the tests do not need."""

import sys
from types import SimpleNamespace

import pytest

from mai_jax.config import Data
from mai_jax.data.sources import is_public, open_source
from mai_jax.errors import InputError


class Image:
    """The type of a column."""

    def __init__(self, decode=True):
        self.decode = decode


class Rows(list):
    """The rows of a split. They give bytes only after the column is cast."""

    features = {"picture": Image(), "label": object()}  # noqa: RUF012
    chosen = None

    def select_columns(self, names):
        self.chosen = names
        return self

    def cast_column(self, name, kind):
        assert self.chosen == [name] and not kind.decode
        return self


@pytest.fixture
def splits(monkeypatch, tmp_path):
    """Return the rows of a data set "me/photos" by split."""
    (tmp_path / "file.png").write_bytes(b"in a file")
    rows = {"train": Rows([{"picture": {"bytes": b"%d" % i, "path": None}} for i in range(3)]),
            "validation": Rows([{"picture": {"bytes": None, "path": str(tmp_path / "file.png")}}, {"picture": None}])}

    def load_dataset(name, split):
        if name != "me/photos":
            raise ConnectionError(f"no\n{name}")
        return rows[split]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(
        Image=Image, load_dataset=load_dataset, get_dataset_split_names=lambda name: list(rows)))
    return rows


def test_images_of_a_split_are_read_encoded(splits):
    train, test = (open_source(Data(train="hf:me/photos"), part) for part in ("train", "test"))
    assert [train[i] for i in range(3)] == [{"id": f"train/{i}", "bytes": b"%d" % i} for i in range(3)]
    assert test[0] == {"id": "validation/0", "bytes": b"in a file"}
    assert repr(train) == "HubImages(me/photos, train, 3 images)" and is_public("hf:me/photos")
    with pytest.raises(InputError, match=r"^hf:me/photos, validation/1: has no image"):
        test[1]


@pytest.mark.parametrize("address, features, message", [
    ("hf:", None, "write hf:NAME or hf:NAME:SPLIT"),
    ("hf:me/photos:train", None, "holds out nothing for the test; give config.data.test, such as hf:me/photos:test"),
    ("hf:you", None, r"cannot be opened \(no you\)"),
    ("hf:me/photos", {"a": Image(), "b": Image()}, "has 2 columns of images; one is needed, or one called image"),
    ("hf:me/photos", {}, "has no columns of images"),
])
def test_unusable_addresses_are_one_line(splits, monkeypatch, address, features, message):
    if features is not None:
        monkeypatch.setattr(Rows, "features", features)
    with pytest.raises(InputError, match=rf"^config\.data\.train='{address}': {message}"):
        open_source(Data(train=address), "train")


def test_a_data_set_without_the_splits_or_the_library(splits, monkeypatch):
    splits["all"] = splits.pop("train")
    with pytest.raises(InputError, match="has no split train, it has validation, all; give hf:me/photos:SPLIT as"):
        open_source(Data(train="hf:me/photos"), "train")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"needs datasets; pip install 'mai_jax\[hf\]'"):
        open_source(Data(train="hf:me/photos"), "train")
