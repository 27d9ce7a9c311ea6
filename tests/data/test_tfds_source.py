"""A tfds set, prepared for real on a small scale and without TensorFlow."""

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
from mai_jax.types import InputError

LABELS = ("airfield", *SCENES, "wheat_field")


class Scenes(tfds.core.GeneratorBasedBuilder):
    """Images of `LABELS` in turn, with a file name, as Places365 has it."""

    VERSION = tfds.core.Version("1.0.0")
    pictures = None  # the folder that holds 0.png, 1.png, ...
    broken = None  # an exception to be raised in place of the images

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
        if self.broken is not None:
            raise self.broken
        for i in range(first, end):
            name = f"{self.pictures}/{i}.png"
            yield i, {"image": name, "label": i % len(LABELS), "filename": f"{i}.png"}


class Plain(Scenes):
    """The same without file names."""

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
        }))

    def _generate_examples(self, first, end):
        for i in range(first, end):
            yield i, {"image": f"{self.pictures}/{i}.png"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(42):
        Image.new("RGB", (20, 16), (i, 0, 0)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def ready(pictures, tmp_path_factory):
    Scenes.pictures = pictures
    builder = Scenes(data_dir=tmp_path_factory.mktemp("tfds"))
    tfds_source.prepare(builder)
    return builder


@pytest.fixture
def builder(ready, tmp_path):
    """A copy of the prepared set that a test may change."""
    shutil.copytree(ready.data_dir, tmp_path / "scenes" / "1.0.0")
    return Scenes(data_dir=tmp_path)


def test_prepares_without_tensorflow_and_gives_the_files_bytes(builder, pictures):
    assert "tensorflow" not in sys.modules
    source = TfdsImages(builder, "train")
    assert len(source) == 30 and repr(source) == repr(TfdsImages(builder, "train"))
    read = {source[i]["id"]: source[i]["bytes"] for i in range(30)}
    assert read == {f"{i}.png": (pictures / f"{i}.png").read_bytes() for i in range(30)}


def test_labels_select_and_the_scan_is_kept(builder, capfd, monkeypatch):
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
    left = [path.name for path in builder.data_path.glob("*indices*")]
    assert len(left) == 2 and all(name.endswith(".npy") for name in left)


def test_ids_without_file_names_are_split_and_index(pictures, tmp_path):
    Plain.pictures = pictures
    plain = Plain(data_dir=tmp_path)
    tfds_source.prepare(plain)
    both = TfdsImages(plain, "train+validation")
    assert len(both) == 39 and both[38]["id"] == "train+validation/38"
    assert {both[i]["bytes"] for i in range(39)} == {(pictures / f"{i}.png").read_bytes() for i in range(39)}


def test_named_sets_take_the_papers_parts(builder, monkeypatch):
    monkeypatch.setattr(tfds, "builder", lambda name, **how: {"places365_small": builder, "celeb_a": builder}[name])

    def numbers(name, part):
        source = open_source(Data(train=name), part)
        return {int(source[i]["id"].removesuffix(".png")) for i in range(len(source))}

    in_scenes = {i for i in range(42) if LABELS[i % len(LABELS)] in SCENES}
    assert numbers("places2", "train") == in_scenes & set(range(30))
    assert numbers("places2", "test") == in_scenes & set(range(30, 39))
    assert numbers("celeb_a", "train") == set(range(39))
    assert numbers("celeb_a", "test") == set(range(39, 42))


def test_a_set_in_another_format_is_named(builder, monkeypatch):
    info = builder.data_path / "dataset_info.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"fileFormat": "tfrecord"}))
    monkeypatch.setattr(tfds, "builder", lambda name, **how: Scenes(data_dir=builder.data_path.parent.parent, **how))
    for name in ("places2", "celeb_a"):
        with pytest.raises(InputError, match="is prepared as tfrecord, which has no random access"):
            open_source(Data(train=name), "train")


@pytest.mark.parametrize("broken, said", [
    (ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow"),
     "needs tensorflow, once; pip install tensorflow-cpu"),
    (ConnectionError("no\nnetwork"), r"could not be downloaded and prepared in .* \(no network.*\)"),
    (OSError(28, "No space left on device"), "No space left on device"),
])
def test_failed_preparation_is_one_line(tmp_path, monkeypatch, broken, said):
    monkeypatch.setattr(Scenes, "broken", broken)
    with pytest.raises(InputError, match=said) as error:
        tfds_source.prepare(Scenes(data_dir=tmp_path))
    assert str(error.value).startswith("scenes: ") and "\n" not in str(error.value)


def test_size_is_said_first_and_must_fit(tmp_path, monkeypatch, capsys):
    size = namedtuple("Url", "size")(2**60)
    monkeypatch.setattr(Scenes, "url_infos", {"https://example.org/scenes.tar": size})
    with pytest.raises(InputError, match=r"scenes: needs about 2147483648\.0 GiB and .* GiB; make room"):
        tfds_source.prepare(Scenes(data_dir=tmp_path / "not" / "yet"))
    assert "scenes: downloading 1073741824.0 GiB" in capsys.readouterr().out
