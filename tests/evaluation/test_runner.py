"""A checkpoint, or another program's files, measured end to end: records, result, table and picture."""

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
from mai_jax.evaluation import fid, lpips, report, runner, subject
from mai_jax.evaluation.classical import METHODS
from mai_jax.evaluation.holes import making
from mai_jax.evaluation.pairs import Pairs
from mai_jax.evaluation.protocols import PROTOCOLS
from mai_jax.evaluation.ratio_bins import bin_of
from mai_jax.evaluation.runner import Judge
from mai_jax.inference import Inpainter
from mai_jax.nn import inception, vgg16
from mai_jax.types import InputError
from tests.cheap_compilation import environment
from tests.untrained import untrained_run

ROOT = Path(__file__).parents[2]
DEFAULT = Judge(PROTOCOLS["default"])
FLOOR = {"mean_colour": METHODS["mean_colour"]}
FILES = ("records.jsonl", "result.json", "table4.md", "evaluation.png")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run of no steps: an untrained checkpoint, and three photographs of noise and one of a single grey."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for i in range(3):
        Image.fromarray(rng.integers(0, 255, (50, 70, 3), np.uint8)).save(folder / "photos" / f"noise{i}.png")
    Image.new("RGB", (60, 60), (90, 90, 90)).save(folder / "photos" / "grey.png")
    photos = str(folder / "photos")
    return untrained_run(folder, data=Data(train=photos, test=photos, shorter_side=32))


@pytest.fixture(scope="module")
def checkpointed(workdir):
    return subject.checkpoint(workdir)


@pytest.fixture(scope="module")
def records(checkpointed):
    return runner.measure(checkpointed.pairs, DEFAULT, checkpointed.paint, FLOOR, 4)


def test_every_photograph_has_one_hole_per_bin(checkpointed, records):
    edges = checkpointed.edges
    assert [r["id"] for r in records] == [
        name for name in ("grey.png", "noise0.png", "noise1.png", "noise2.png") for _ in edges[1:]]
    assert [bin_of(r["hole_ratio"], edges) for r in records] == 4 * list(range(len(edges) - 1))
    assert len({r["pair"] for r in records}) == len(records)


def test_records_say_what_the_completed_pixels_say(checkpointed, records):
    painted = np.concatenate(list(runner.completed(checkpointed.pairs, DEFAULT.protocol, checkpointed.paint, 4)))
    for pair, pixels, record in zip(checkpointed.pairs, painted, records, strict=True):
        np.testing.assert_array_equal(pixels[~pair.hole], pair.truth[~pair.hole])
        error = np.mean((pixels / 255.0 - pair.truth / 255.0) ** 2)
        assert record["psnr"] == pytest.approx(-10 * np.log10(error), abs=1e-4)


@pytest.mark.parametrize("number", [1, 3])
def test_the_number_of_devices_changes_no_record(workdir, records, number):
    devices = jax.devices()[:number]
    measured = subject.checkpoint(workdir, devices=devices)
    assert runner.measure(measured.pairs, DEFAULT, measured.paint, FLOOR, 4, devices) == records


MEASURE = """
    import json, pathlib, sys
    import jax
    address, number, own, workdir, output = sys.argv[1:]
    jax.distributed.initialize(address, num_processes=int(number), process_id=int(own))
    from mai_jax.evaluation import runner, subject
    from mai_jax.evaluation.classical import METHODS
    from mai_jax.evaluation.protocols import PROTOCOLS
    measured = subject.checkpoint(pathlib.Path(workdir))
    floor = {"mean_colour": METHODS["mean_colour"]}
    found = runner.measure(measured.pairs, runner.Judge(PROTOCOLS["default"]), measured.paint, floor, 2)
    pathlib.Path(output).write_text(json.dumps(found))
    jax.distributed.shutdown()
"""


def measured_by(number: int, workdir: Path, output: Path) -> list[list]:
    """The records that each of some processes with two devices gets."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    env = environment(devices=2)
    command = [sys.executable, "-c", textwrap.dedent(MEASURE), address, str(number)]
    processes = [subprocess.Popen([*command, str(i), workdir, output / f"{number}.{i}"], cwd=ROOT, env=env,
                                  stdout=subprocess.DEVNULL) for i in range(number)]  # fmt: skip
    assert [process.wait(timeout=600) for process in processes] == [0] * number
    return [json.loads((output / f"{number}.{i}").read_text()) for i in range(number)]


def test_two_processes_get_the_records_of_one(workdir, tmp_path):
    (alone,) = measured_by(1, workdir, tmp_path)
    assert len(alone) == 24
    assert measured_by(2, workdir, tmp_path) == [alone, alone]


def test_the_report_is_whole_strict_json_and_the_same_twice(checkpointed, tmp_path):
    for place in ("a", "b"):
        report.write(checkpointed, tmp_path / place, "default", DEFAULT, FLOOR)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()

    def refuse(constant):
        raise ValueError(constant)

    lines = (tmp_path / "a" / "records.jsonl").read_bytes().splitlines()
    first = json.loads(lines[0], parse_constant=refuse)
    assert {"id", "hole", "pair", "hole_ratio", "psnr", "ssim", "l1", "hole_psnr", "hole_l1"} <= first.keys()
    assert (first["mean_colour"]["psnr"], first["mean_colour"]["ssim"]) == ("inf", 1)  # the grey one
    result = json.loads((tmp_path / "a" / "result.json").read_bytes(), parse_constant=refuse)
    assert result["protocol"] == "default" and result["step"] == 1 and result["pairs"] == len(lines)


def test_files_of_another_program_give_the_same_records(checkpointed, records, tmp_path):
    """Our own output, saved as PNG and measured from the folders, is measured the same; --against joins both."""
    painted = np.concatenate(list(runner.completed(checkpointed.pairs, DEFAULT.protocol, checkpointed.paint, 4)))
    for folder in ("pred", "truth", "masks"):
        (tmp_path / folder).mkdir()
    for i, (pair, pixels) in enumerate(zip(checkpointed.pairs, painted, strict=True)):
        Image.fromarray(pixels).save(tmp_path / "pred" / f"{i:02}.png")
        Image.fromarray(pair.truth).save(tmp_path / "truth" / f"{i:02}.PNG")
        Image.fromarray(np.uint8(255) * pair.hole).save(tmp_path / "masks" / f"{i:02}.png")
    given = subject.folders(*(str(tmp_path / name) for name in ("pred", "truth", "masks")), "hole")
    found = runner.measure(given.pairs, DEFAULT, given.paint, FLOOR, 8)
    for ours, theirs in zip(records, found, strict=True):
        assert {**ours, "id": "", "hole": ""} == {**theirs, "id": "", "hole": ""}

    report.write(given, tmp_path / "first", "default", DEFAULT, {})
    report.write(given._replace(name="again"), tmp_path / "second", "default", DEFAULT, {}, [tmp_path / "first"])
    joined = json.loads((tmp_path / "second" / "records.jsonl").read_text().splitlines()[0])
    assert joined["pred"]["psnr"] == joined["psnr"]
    with pytest.raises(InputError, match="other photographs or holes"):
        report.write(checkpointed, tmp_path / "third", "default", DEFAULT, {}, [tmp_path / "first"])
    with pytest.raises(InputError, match="under the protocol default, this evaluation is under lama"):
        report.write(given, tmp_path / "third", "lama", Judge(PROTOCOLS["lama"]), {}, [tmp_path / "first"])
    with pytest.raises(InputError, match="'pred' would be the name of two methods"):
        report.write(given, tmp_path / "third", "default", DEFAULT, {}, [tmp_path / "first"])
    assert not (tmp_path / "third").exists()


def test_lpips_and_fid_are_measured_with_given_weights(checkpointed, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)

    def made_up(module, image):
        shapes = jax.eval_shape(module.init, jax.random.key(0), image)["params"]
        return jax.tree.map(lambda leaf: rng.normal(scale=0.1, size=leaf.shape).astype(np.float32), shapes)

    heads = [np.ones(channels, np.float32) for channels in lpips.CHANNELS]
    vgg = made_up(vgg16.VGG16Rectified(), np.zeros((1, 32, 32, 3), np.float32))
    judge = Judge(PROTOCOLS["lama"], {"vgg16": vgg, "heads": heads})
    params = made_up(inception.Inception(), np.zeros((1, 299, 299, 3), np.float32))
    # Filling up to eight devices, and the eigenvalues of 2048 x 2048 numbers, would take most of the time.
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:1])
    features = fid.features
    monkeypatch.setattr(fid, "features", lambda *arguments: features(*arguments)[:, :64])
    monkeypatch.setattr(inception, "FEATURES", 64)

    class Few(Pairs):
        def __len__(self):
            return 3

        def __getitem__(self, i):
            return checkpointed.pairs[range(0, 18, 6)[i]]

    few = checkpointed._replace(pairs=Few())
    report.write(few, tmp_path / "out", "lama", judge, {}, fid_params=params, with_page=True)
    record = json.loads((tmp_path / "out" / "records.jsonl").read_text().splitlines()[0])
    assert 0 < record["lpips"] < np.inf and "psnr" not in record
    assert json.loads((tmp_path / "out" / "result.json").read_text())["fid"] > 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "grey.png" in page and "LPIPS" in page.upper()
    assert list((tmp_path / "cache" / "mai_jax").iterdir())


def test_the_holes_of_a_benchmark_are_used_as_they_are(workdir, tmp_path):
    edges = (0.1, 0.3, 0.5)
    making.make(tmp_path / "holes", size=32, per_bin=2, seed=0, edges=edges)
    measured = subject.checkpoint(workdir, holes=str(tmp_path / "holes"))
    assert measured.edges == edges and len(measured.pairs) == 4 * 2 and len(measured.stamp["holes_sha256"]) == 64
    for i, pair in enumerate(measured.pairs):
        listed = np.asarray(Image.open(tmp_path / "holes" / f"{pair.hole_id}.png").convert("L")) > 127
        np.testing.assert_array_equal(pair.hole, listed)
        assert bin_of(pair.hole.mean(), edges) == i % 2
    making.make(tmp_path / "large", size=64, per_bin=1, seed=0, edges=edges)
    with pytest.raises(InputError, match="64 x 64 pixels and the run has 32"):
        subject.checkpoint(workdir, holes=str(tmp_path / "large")).pairs[0]


@pytest.mark.parametrize("size", [(32, 32), (45, 70), (16, 100)])
def test_the_inpainter_leaves_every_given_pixel_alone(workdir, size):
    rng = np.random.default_rng(1)
    image, hole = rng.integers(0, 256, (*size, 3), np.uint8), rng.random(size) < 0.5
    before = image.copy()
    painted = Inpainter.from_checkpoint(workdir)(image, hole)
    assert painted.shape == image.shape and painted.dtype == np.uint8
    np.testing.assert_array_equal(painted[~hole], image[~hole])
    np.testing.assert_array_equal(image, before)
