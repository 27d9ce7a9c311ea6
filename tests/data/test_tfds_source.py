"""A small tfds data set, really prepared, without TensorFlow."""

import json
import shutil
import sys
from collections import namedtuple

import pytest
import tensorflow_datasets as tfds
from PIL import Image

from mai_jax.config import Data
from mai_jax.data import tfds_source
from mai_jax.data.sources import SCENES, open_source
from mai_jax.data.tfds_source import TfdsImages
from mai_jax.errors import InputError

LABELS = ("airfield", *SCENES, "wheat_field")


class Scenes(tfds.core.GeneratorBasedBuilder):
    """Images with the labels of `LABELS` in turn and with file names, as in Places365."""

    VERSION = tfds.core.Version("1.0.0")
    folder = None  # with 0.png, 1.png, ...
    failure = None  # an exception to raise instead of yielding images

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=LABELS),
            "filename": tfds.features.Text(),
        }))

    def _split_generators(self, _):
        return {"train": self._generate_examples(0, 30), "validation": self._generate_examples(30, 39),
                "test": self._generate_examples(39, 42)}

    def _generate_examples(self, first, end):
        if self.failure is not None:
            raise self.failure
        for i in range(first, end):
            name = f"{self.folder}/{i}.png"
            yield i, {"image": name, "label": i % len(LABELS), "filename": f"{i}.png"}


class Unnamed(Scenes):
    """The same images without labels and file names."""

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
        }))

    def _generate_examples(self, first, end):
        for i in range(first, end):
            yield i, {"image": f"{self.folder}/{i}.png"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(42):
        Image.new("RGB", (20, 16), (i, 0, 0)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def prepared(pictures, tmp_path_factory):
    Scenes.folder = pictures
    builder = Scenes(data_dir=tmp_path_factory.mktemp("tfds"))
    tfds_source.prepare(builder)
    return builder


@pytest.fixture
def builder(prepared, tmp_path):
    """Return a copy of the prepared data set, which a test may change."""
    shutil.copytree(prepared.data_dir, tmp_path / "scenes" / "1.0.0")
    return Scenes(data_dir=tmp_path)


def test_prepares_without_tensorflow_and_returns_the_bytes_of_the_files(builder, pictures):
    assert "tensorflow" not in sys.modules
    source = TfdsImages(builder, "train")
    assert len(source) == 30 and repr(source) == repr(TfdsImages(builder, "train"))
    read = {source[i]["id"]: source[i]["bytes"] for i in range(30)}
    assert read == {f"{i}.png": (pictures / f"{i}.png").read_bytes() for i in range(30)}


def test_labels_select_images_and_the_scan_is_cached(builder, capfd, monkeypatch):
    found = TfdsImages(builder, "train", SCENES)
    numbers = {int(found[i]["id"].removesuffix(".png")) for i in range(len(found))}
    assert numbers == {i for i in range(30) if LABELS[i % len(LABELS)] in SCENES} and len(found) == 23
    assert "23 of 30 images of train" in capfd.readouterr().out
    few = TfdsImages(builder, "validation", ("tundra", "butte"))
    assert {few[i]["id"] for i in range(len(few))} == {f"{i}.png" for i in range(30, 39)
                                                       if LABELS[i % 9] in ("tundra", "butte")}
    monkeypatch.setattr(tfds_source, "tqdm", None)  # a second scan would fail
    again = TfdsImages(builder, "train", SCENES)
    assert [again[i] for i in range(23)] == [found[i] for i in range(23)]
    with pytest.raises(TypeError):
        TfdsImages(builder, "train", ("tundra",))
    cached = [path.name for path in builder.data_path.glob("*indices*")]
    assert len(cached) == 2 and all(name.endswith(".npy") for name in cached)


def test_ids_without_file_names_are_split_and_index(pictures, tmp_path):
    Unnamed.folder = pictures
    unnamed = Unnamed(data_dir=tmp_path)
    tfds_source.prepare(unnamed)
    both = TfdsImages(unnamed, "train+validation")
    assert len(both) == 39 and both[38]["id"] == "train+validation/38"
    assert {both[i]["bytes"] for i in range(39)} == {(pictures / f"{i}.png").read_bytes() for i in range(39)}


def test_named_sources_have_the_splits_of_the_paper(builder, monkeypatch):
    monkeypatch.setattr(tfds, "builder", lambda name, **kwargs: {"places365_small": builder, "celeb_a": builder}[name])

    def numbers(name, part):
        source = open_source(Data(train=name), part)
        return {int(source[i]["id"].removesuffix(".png")) for i in range(len(source))}

    in_scenes = {i for i in range(42) if LABELS[i % len(LABELS)] in SCENES}
    assert numbers("places2", "train") == in_scenes & set(range(30))
    assert numbers("places2", "test") == in_scenes & set(range(30, 39))
    assert numbers("celeb_a", "train") == set(range(39))
    assert numbers("celeb_a", "test") == set(range(39, 42))


def test_a_data_set_in_another_format_is_refused(builder, monkeypatch):
    info = builder.data_path / "dataset_info.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"fileFormat": "tfrecord"}))
    monkeypatch.setattr(
        tfds, "builder", lambda name, **kwargs: Scenes(data_dir=builder.data_path.parent.parent, **kwargs))
    for name in ("places2", "celeb_a"):
        with pytest.raises(InputError, match="is prepared as tfrecord, which has no random access"):
            open_source(Data(train=name), "train")


@pytest.mark.parametrize("failure, message", [
    (ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow"),
     "needs tensorflow, once; pip install tensorflow-cpu"),
    (ConnectionError("no\nnetwork"), r"could not be downloaded and prepared in .* \(no network.*\)"),
    (OSError(28, "No space left on device"), "No space left on device"),
])
def test_failed_preparation_is_one_line(tmp_path, monkeypatch, failure, message):
    monkeypatch.setattr(Scenes, "failure", failure)
    with pytest.raises(InputError, match=message) as error:
        tfds_source.prepare(Scenes(data_dir=tmp_path))
    assert str(error.value).startswith("scenes: ") and "\n" not in str(error.value)


def test_download_size_is_printed_first_and_must_fit(tmp_path, monkeypatch, capsys):
    size = namedtuple("Url", "size")(2**60)
    monkeypatch.setattr(Scenes, "url_infos", {"https://example.org/scenes.tar": size})
    with pytest.raises(InputError, match=r"scenes: needs about 2147483648\.0 GiB and .* GiB; free some space"):
        tfds_source.prepare(Scenes(data_dir=tmp_path / "not" / "yet"))
    assert "scenes: downloading 1073741824.0 GiB" in capsys.readouterr().out
