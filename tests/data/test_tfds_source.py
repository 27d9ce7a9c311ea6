"""Small tfds data sets, really prepared, without TensorFlow; and a run that trains and evaluates on one."""

import functools
import hashlib
import http.server
import importlib.util
import json
import shutil
import subprocess
import sys
import threading
from collections import namedtuple

import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.download import checksums

from mai_jax.config import Data
from mai_jax.data import tfds_source
from mai_jax.data.sources import SCENES, TFDS_SETS, open_source
from mai_jax.data.tfds_source import TfdsImages
from mai_jax.errors import InputError
from tests import cheap_compilation, real_runs
from tests.data.scenes_builder import LABELS, Scenes

# Registers the toy data set as a named source, as an extension of the package would, and runs a program of this folder.
WITH_TOY_SET = """if True:
    import runpy, sys
    folder, program, *sys.argv[1:] = sys.argv[1:]
    sys.argv[0], sys.path[0] = program, ""
    from mai_jax.data import sources, tfds_source
    from tests.data.scenes_builder import Scenes
    Scenes.folder = folder
    splits = {"train": "train", "test": "validation"}
    sources.NAMED["toy"] = lambda part: tfds_source.TfdsImages(
        tfds_source.prepared("scenes"), splits[part], sources.SCENES)
    runpy.run_path(program, run_name="__main__")
"""


class Unnamed(Scenes):
    """The same images without labels and file names."""

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
        }))

    def _generate_examples(self, first, end):
        for i in range(first, end):
            yield i, {"image": f"{self.folder}/{i}.png"}


class Stereo(Scenes):
    """Pairs of the same images, in one split."""

    def _info(self):
        image = tfds.features.Image(shape=(None, None, 3), encoding_format="png")
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({"left": image, "right": image}))

    def _split_generators(self, _):
        return {"both": ((i, dict.fromkeys(("left", "right"), f"{self.folder}/{i}.png")) for i in range(2))}


class Downloaded(Scenes):
    """The same, and a file of 10,000 bytes from a server that counts the requests."""

    url = ""  # of the server
    url_infos = None  # by URL; a fixture sets both

    def _split_generators(self, dl_manager):
        dl_manager.download(self.url)
        return super()._split_generators(dl_manager)


class Archived(Downloaded):
    """The same, and the file is opened as an archive by tfds."""

    def _split_generators(self, dl_manager):
        path = dl_manager.download(self.url)
        assert [name for name, _ in dl_manager.iter_archive(path)] == []
        return super()._split_generators(dl_manager)


@pytest.fixture
def requests(monkeypatch, pictures):
    """Serve the file of `Downloaded`. Yield the paths that were requested so far."""
    content, requested = bytes(10_000), []  # zeros: an empty tar archive

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requested.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            """Print nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/scenes.tar"
        info = checksums.UrlInfo(size=tfds.core.units.Size(len(content)), filename="scenes.tar",
                                 checksum=hashlib.sha256(content).hexdigest())
        monkeypatch.setattr(Scenes, "folder", pictures)
        monkeypatch.setattr(Downloaded, "url", url)
        monkeypatch.setattr(Downloaded, "url_infos", {url: info})
        yield requested
        server.shutdown()
        thread.join()


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


def test_addresses_name_a_set_and_a_split(builder, monkeypatch):
    monkeypatch.setattr(tfds, "builder", functools.partial(tfds.builder, data_dir=builder.data_path.parent.parent))

    def numbers(part, **data):
        source = open_source(Data(**data), part)
        return [int(source[i]["id"].removesuffix(".png")) for i in range(len(source))]

    assert sorted(numbers("train", train="tfds:scenes")) == [*range(30)]
    assert sorted(numbers("test", train="tfds:scenes")) == [*range(39, 42)]
    sliced = {"train": "tfds:scenes:1.0.0:train[:50%]", "test": "tfds:scenes:train[50%:]+validation"}
    assert sorted(numbers("train", **sliced) + numbers("test", **sliced)) == [*range(39)]


@pytest.mark.parametrize("address, message", [
    ("tfds:", "'tfds:': write tfds:NAME, tfds:NAME/CONFIG or tfds:NAME:SPLIT"),
    ("tfds:scenes:train", "holds out nothing for the test; give config.data.test, such as tfds:scenes:test"),
    ("tfds:no_such_set", "tfds:no_such_set: is neither a data set of TensorFlow Datasets nor in TFDS_DATA_DIR"),
    ("tfds:mnist/large", "tfds:mnist/large: cannot be opened .*large"),
    ("tfds:stereo", "has no split train, it has both; give tfds:stereo:SPLIT as config.data.train"),
    ("tfds:stereo:both", "stereo: has 2 features that are images: left, right; one is needed, or one called image"),
    ("tfds:scenes:dev", "scenes: has no split 'dev' .*validation"),
])
def test_unusable_addresses_are_one_line(builder, pictures, monkeypatch, address, message):
    monkeypatch.setattr(tfds, "builder", functools.partial(tfds.builder, data_dir=builder.data_path.parent.parent))
    Stereo.folder = pictures
    has_test = address.endswith((":dev", ":both"))
    with pytest.raises(InputError, match=message) as error:
        open_source(Data(train=address, test="sample_photos" if has_test else ""), "train")
    assert "\n" not in str(error.value)


def test_a_module_that_the_code_of_a_set_needs_is_named(monkeypatch):
    def builder(name):
        raise ModuleNotFoundError(f"Failed to construct dataset {name}: No module named 'bs4'")

    monkeypatch.setattr(tfds, "builder", builder)
    with pytest.raises(InputError, match=r"^tfds:celeb/small: its code needs bs4; pip install beautifulsoup4$"):
        open_source(Data(train="tfds:celeb/small"), "train")


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
    (ModuleNotFoundError("No module named 'bs4'\nFailed importing bs4."),  # as tfds raises it, without the name
     "needs bs4, once; pip install beautifulsoup4"),
    (ConnectionError("no\nnetwork"), r"could not be downloaded and prepared in .* \(no network.*\)"),
    (OSError(28, "No space left on device"), "No space left on device"),
])
def test_failed_preparation_is_one_line(tmp_path, monkeypatch, failure, message):
    monkeypatch.setattr(Scenes, "failure", failure)
    with pytest.raises(InputError, match=message) as error:
        tfds_source.prepare(Scenes(data_dir=tmp_path))
    assert str(error.value).startswith("scenes: ") and "\n" not in str(error.value)


@pytest.mark.parametrize("name", sorted(TFDS_SETS.values()))
def test_the_paper_s_sets_need_tensorflow_to_be_prepared(name):
    assert tfds_source.needs_tensorflow(tfds.builder_cls(name))


def test_tensorflow_is_looked_for_before_the_download(tmp_path, monkeypatch, requests):
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # not installed
    message = "archived: preparing it needs tensorflow, once; pip install tensorflow-cpu"
    with pytest.raises(InputError) as error:
        tfds_source.prepare(Archived(data_dir=tmp_path))
    assert str(error.value) == message and requests == []
    # It is true: tfds itself cannot open the archive.
    monkeypatch.setattr(tfds_source, "needs_tensorflow", lambda builder: False)
    with pytest.raises(InputError) as error:
        tfds_source.prepare(Archived(data_dir=tmp_path))
    assert str(error.value) == message and len(requests) == 1


def test_a_set_that_does_not_need_tensorflow_is_not_refused(tmp_path, monkeypatch, requests):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    tfds_source.prepare(Downloaded(data_dir=tmp_path))
    assert len(requests) == 1 and len(TfdsImages(Downloaded(data_dir=tmp_path), "train")) == 30


def test_a_second_try_does_not_need_the_space_of_the_download_again(tmp_path, monkeypatch, requests):
    free = 25_000  # bytes: enough for the download and the prepared files, 10,000 each
    monkeypatch.setattr(shutil, "disk_usage", lambda path: namedtuple("Usage", "free")(free))
    with monkeypatch.context() as patch, pytest.raises(InputError, match="no more memory"):
        patch.setattr(Downloaded, "failure", MemoryError("no more memory"))
        tfds_source.prepare(Downloaded(data_dir=tmp_path))
    free -= 10_000
    with pytest.raises(InputError, match="free some space"):
        tfds_source.prepare(Downloaded(data_dir=tmp_path / "elsewhere"))
    again = Downloaded(data_dir=tmp_path)
    again.info.download_size = 20_000  # tfds itself has this number from its catalogue, and compares it with the space
    tfds_source.prepare(again)
    assert again.is_prepared() and len(requests) == 1


def test_download_size_is_printed_first_and_must_fit(tmp_path, monkeypatch, capsys):
    size = namedtuple("Url", "size")(2**60)
    monkeypatch.setattr(Scenes, "url_infos", {"https://example.org/scenes.tar": size})
    with pytest.raises(InputError, match=r"scenes: needs about 2147483648\.0 GiB and .* GiB; free some space"):
        tfds_source.prepare(Scenes(data_dir=tmp_path / "not" / "yet"))
    assert "scenes: downloading 1073741824.0 GiB" in capsys.readouterr().out


def test_the_commands_prepare_train_and_evaluate(tmp_path, pictures):
    """The data set is prepared by train.py at its first use; evaluate.py reads it."""
    environment = real_runs.with_compilation_cache(cheap_compilation.environment(), tmp_path / "cache")
    environment["TFDS_DATA_DIR"] = str(tmp_path / "tfds")
    steps = ("--config.main_phase.steps=1", "--config.finetune_phase.steps=1", "--config.batch_size=4")

    def run(program, *flags):
        done = subprocess.run([sys.executable, "-c", WITH_TOY_SET, str(pictures), program, *flags], cwd=real_runs.ROOT,
                              env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    workdir = tmp_path / "run"
    output = run("train.py", f"--workdir={workdir}", *real_runs.TINY, "--config.data.train=toy", *steps)
    assert "scenes: downloading 0.0 GiB" in output and "23 of 30 images of train" in output
    assert real_runs.last_step(workdir) == 2
    (prepared,) = (tmp_path / "tfds" / "scenes" / "1.0.0").glob("*-train.array_record*")
    assert prepared.stat().st_size > 0
    assert "downloading" not in run("evaluate.py", f"--workdir={workdir}")
    lines = (workdir / "evaluations" / "step2" / "records.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    expected = {f"{i}.png" for i in range(30, 39) if LABELS[i % len(LABELS)] in SCENES}
    assert {record["id"] for record in records} == expected
