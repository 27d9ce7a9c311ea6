"""Evaluation of a checkpoint or of files from end to end: records, result, tables and picture."""

import json
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from mai_jax.config import Data
from mai_jax.errors import InputError
from mai_jax.evaluation import eval_target, evaluator, fid
from mai_jax.evaluation.classical import METHODS
from mai_jax.evaluation.dataset import EvalDataset
from mai_jax.evaluation.evaluator import MetricSet
from mai_jax.evaluation.mask_benchmark import generation, indexing
from mai_jax.evaluation.protocols import PROTOCOLS
from mai_jax.evaluation.ratio_bins import bin_of
from mai_jax.evaluation.report import result_files
from mai_jax.inference import Inpainter
from mai_jax.nn import inception, lpips, vgg
from tests.cheap_compilation import environment
from tests.untrained import untrained_run

ROOT = Path(__file__).parents[2]
DEFAULT = MetricSet(PROTOCOLS["default"])
BASELINE = {"mean_colour": METHODS["mean_colour"]}
FILES = ("records.jsonl", "result.json", "table4.md", "evaluation.png")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """Return an untrained run on three photographs of noise and a grey one."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for i in range(3):
        Image.fromarray(rng.integers(0, 255, (50, 70, 3), np.uint8)).save(folder / "photos" / f"noise{i}.png")
    Image.new("RGB", (60, 60), (90, 90, 90)).save(folder / "photos" / "grey.png")
    photos = str(folder / "photos")
    return untrained_run(folder, data=Data(train=photos, test=photos, shorter_side=32))


@pytest.fixture(scope="module")
def target(workdir):
    return eval_target.checkpoint(workdir)


@pytest.fixture(scope="module")
def records(target):
    return evaluator.evaluate(target.dataset, DEFAULT, target.predict, BASELINE, 4)


def test_every_photograph_has_one_hole_per_bin(target, records):
    edges = target.edges
    assert [r["id"] for r in records] == [
        name for name in ("grey.png", "noise0.png", "noise1.png", "noise2.png") for _ in edges[1:]]
    assert [bin_of(r["hole_ratio"], edges) for r in records] == 4 * list(range(len(edges) - 1))
    assert len({r["pair"] for r in records}) == len(records)


def test_records_agree_with_the_completed_pixels(target, records):
    prediction = np.concatenate(list(evaluator.completed(target.dataset, DEFAULT.protocol, target.predict, 4)))
    for pair, pixels, record in zip(target.dataset, prediction, records, strict=True):
        np.testing.assert_array_equal(pixels[~pair.hole], pair.truth[~pair.hole])
        error = np.mean((pixels / 255.0 - pair.truth / 255.0) ** 2)
        assert record["psnr"] == pytest.approx(-10 * np.log10(error), abs=1e-4)


@pytest.mark.parametrize("number", [1, 3])
def test_the_number_of_devices_changes_no_record(workdir, records, number):
    devices = jax.devices()[:number]
    on_devices = eval_target.checkpoint(workdir, devices=devices)
    assert evaluator.evaluate(on_devices.dataset, DEFAULT, on_devices.predict, BASELINE, 4, devices) == records


EVALUATE = """
    import json, pathlib, sys
    import jax
    address, number, own, workdir, output = sys.argv[1:]
    jax.distributed.initialize(address, num_processes=int(number), process_id=int(own))
    from mai_jax.evaluation import eval_target, evaluator
    from mai_jax.evaluation.classical import METHODS
    from mai_jax.evaluation.protocols import PROTOCOLS
    target = eval_target.checkpoint(pathlib.Path(workdir))
    metric_set = evaluator.MetricSet(PROTOCOLS["default"])
    rows = {"mean_colour": METHODS["mean_colour"]}
    records = evaluator.evaluate(target.dataset, metric_set, target.predict, rows, 2)
    pathlib.Path(output).write_text(json.dumps(records))
    jax.distributed.shutdown()
"""


def records_of_processes(number: int, workdir: Path, output: Path) -> list[list]:
    """Return the records that each of `number` processes with two devices returns."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    env = environment(devices=2)
    command = [sys.executable, "-c", textwrap.dedent(EVALUATE), address, str(number)]
    processes = [subprocess.Popen([*command, str(i), workdir, output / f"{number}.{i}"], cwd=ROOT, env=env,
                                  stdout=subprocess.DEVNULL) for i in range(number)]  # fmt: skip
    assert [process.wait(timeout=600) for process in processes] == [0] * number
    return [json.loads((output / f"{number}.{i}").read_text()) for i in range(number)]


def test_two_processes_get_the_records_of_one(workdir, tmp_path):
    (of_one,) = records_of_processes(1, workdir, tmp_path)
    assert len(of_one) == 24
    assert records_of_processes(2, workdir, tmp_path) == [of_one, of_one]


def test_the_result_files_are_complete_strict_json_and_reproducible(target, tmp_path):
    changed = target._replace(stamp=target.stamp | {"history": ["after step 4: config.batch_size: 8 -> 16"]})
    for folder in ("a", "b"):
        result_files.write(changed, tmp_path / folder, "default", DEFAULT, BASELINE)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()

    assert "\nMAI, after step 4: config.batch\\_size: 8 -> 16.\n" in (tmp_path / "a" / "table4.md").read_text()

    def reject(constant):
        raise ValueError(constant)

    lines = (tmp_path / "a" / "records.jsonl").read_bytes().splitlines()
    first = json.loads(lines[0], parse_constant=reject)
    assert {"id", "hole", "pair", "hole_ratio", "psnr", "ssim", "l1", "hole_psnr", "hole_l1"} <= first.keys()
    assert (first["mean_colour"]["psnr"], first["mean_colour"]["ssim"]) == ("inf", 1)  # of the grey photograph
    result = json.loads((tmp_path / "a" / "result.json").read_bytes(), parse_constant=reject)
    assert result["protocol"] == "default" and result["step"] == 1 and result["pairs"] == len(lines)


def test_files_give_the_same_records(target, records, tmp_path):
    """Predictions saved as PNG and evaluated from folders give the same records; `against` combines both."""
    prediction = np.concatenate(list(evaluator.completed(target.dataset, DEFAULT.protocol, target.predict, 4)))
    for folder in ("pred", "truth", "masks"):
        (tmp_path / folder).mkdir()
    for i, (pair, pixels) in enumerate(zip(target.dataset, prediction, strict=True)):
        Image.fromarray(pixels).save(tmp_path / "pred" / f"{i:02}.png")
        Image.fromarray(pair.truth).save(tmp_path / "truth" / f"{i:02}.PNG")
        Image.fromarray(np.uint8(255) * pair.hole).save(tmp_path / "masks" / f"{i:02}.png")
    files = eval_target.folders(*(str(tmp_path / name) for name in ("pred", "truth", "masks")), "hole")
    found = evaluator.evaluate(files.dataset, DEFAULT, files.predict, BASELINE, 8)
    for expected, record in zip(records, found, strict=True):
        assert {**expected, "id": "", "hole": ""} == {**record, "id": "", "hole": ""}

    result_files.write(files, tmp_path / "first", "default", DEFAULT, {})
    result_files.write(files._replace(name="again"), tmp_path / "second", "default", DEFAULT, {}, [tmp_path / "first"])
    joined = json.loads((tmp_path / "second" / "records.jsonl").read_text().splitlines()[0])
    assert joined["pred"]["psnr"] == joined["psnr"]
    with pytest.raises(InputError, match="other photographs or holes"):
        result_files.write(target, tmp_path / "third", "default", DEFAULT, {}, [tmp_path / "first"])
    with pytest.raises(InputError, match="under the protocol default, this evaluation is under lama"):
        result_files.write(files, tmp_path / "third", "lama", MetricSet(PROTOCOLS["lama"]), {}, [tmp_path / "first"])
    with pytest.raises(InputError, match="'pred' would be the name of two methods"):
        result_files.write(files, tmp_path / "third", "default", DEFAULT, {}, [tmp_path / "first"])
    assert not (tmp_path / "third").exists()


def test_lpips_and_fid_are_measured_with_given_weights(target, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)

    def random_params(module, image):
        shapes = jax.eval_shape(module.init, jax.random.key(0), image)["params"]
        return jax.tree.map(lambda leaf: rng.normal(scale=0.1, size=leaf.shape).astype(np.float32), shapes)

    heads = [np.ones(channels, np.float32) for channels in lpips.CHANNELS]
    vgg16 = random_params(vgg.VGG16Rectified(), np.zeros((1, 32, 32, 3), np.float32))
    metric_set = MetricSet(PROTOCOLS["lama"], {"vgg": vgg16, "heads": heads})
    params = random_params(inception.Inception(), np.zeros((1, 299, 299, 3), np.float32))
    # Padding to eight devices and the eigenvalues of a 2048 x 2048 matrix would take most of the time.
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:1])
    features = fid.features
    monkeypatch.setattr(fid, "features", lambda *arguments: features(*arguments)[:, :64])
    monkeypatch.setattr(inception, "FEATURES", 64)

    class Subset(EvalDataset):
        def __len__(self):
            return 3

        def __getitem__(self, i):
            return target.dataset[range(0, 18, 6)[i]]

    subset = target._replace(dataset=Subset())
    result_files.write(subset, tmp_path / "out", "lama", metric_set, {}, fid_params=params, with_page=True)
    record = json.loads((tmp_path / "out" / "records.jsonl").read_text().splitlines()[0])
    assert 0 < record["lpips"] < np.inf and "psnr" not in record
    assert json.loads((tmp_path / "out" / "result.json").read_text())["fid"] > 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "grey.png" in page and "LPIPS" in page.upper()
    assert list((tmp_path / "cache" / "mai_jax").iterdir())


def test_the_holes_of_a_mask_benchmark_are_used_unchanged(workdir, tmp_path):
    edges = (0.1, 0.3, 0.5)
    generation.make(tmp_path / "holes", size=32, per_bin=2, seed=0, edges=edges)
    target = eval_target.checkpoint(workdir, holes=str(tmp_path / "holes"))
    assert target.edges == edges and len(target.dataset) == 4 * 2 and len(target.stamp["holes_sha256"]) == 64
    for i, pair in enumerate(target.dataset):
        listed = np.asarray(Image.open(tmp_path / "holes" / f"{pair.hole_id}.png").convert("L")) > 127
        np.testing.assert_array_equal(pair.hole, listed)
        assert bin_of(pair.hole.mean(), edges) == i % 2
    generation.make(tmp_path / "large", size=64, per_bin=1, seed=0, edges=edges)
    large = str(tmp_path / "large")
    with pytest.raises(InputError, match="64 x 64 pixels and the run has 32; use `mai masks make --size=32`"):
        eval_target.checkpoint(workdir, holes=large).dataset[0]

    def list_masks(size, edges=edges):
        indexing.index(large, Path(large, "own.jsonl"), size=size, edges=edges, mask_means="hole")
        return eval_target.checkpoint(workdir, holes=f"{large}/own.jsonl").dataset

    with pytest.raises(InputError, match=r"64 x 64 .*; use `mai masks bin .*/large --size=32` with the flags of the"):
        list_masks(None)[0]
    assert list_masks(32)[0].hole.shape == (32, 32)
    with pytest.raises(InputError, match=r"large: none of its 4 masks has a hole ratio in one of the bins"):
        list_masks(32, (0.9, 1.0))


@pytest.mark.parametrize("size", [(32, 32), (45, 70), (16, 100)])
def test_the_inpainter_changes_no_valid_pixel(workdir, size):
    rng = np.random.default_rng(1)
    image, hole = rng.integers(0, 256, (*size, 3), np.uint8), rng.random(size) < 0.5
    before = image.copy()
    prediction = Inpainter.from_checkpoint(workdir)(image, hole)
    assert prediction.shape == image.shape and prediction.dtype == np.uint8
    np.testing.assert_array_equal(prediction[~hole], image[~hole])
    np.testing.assert_array_equal(image, before)
