"""A checkpoint is measured end to end: records, table and picture; what is given stays; twice gives the same bytes."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from mai_jax import checkpoint
from mai_jax import config as config_lib
from mai_jax.config import VGG16, Config, Data, Discriminator, Generator, Phase
from mai_jax.data import sources
from mai_jax.evaluation import report
from mai_jax.evaluation.ratio_bins import bin_of
from mai_jax.evaluation.runner import evaluate
from mai_jax.inference import Inpainter
from mai_jax.models import MODELS
from mai_jax.training import state as state_lib


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run of no steps: an untrained checkpoint, and three photographs of noise and one of a single grey."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for i in range(3):
        Image.fromarray(rng.integers(0, 255, (50, 70, 3), np.uint8)).save(folder / "photos" / f"noise{i}.png")
    Image.new("RGB", (60, 60), (90, 90, 90)).save(folder / "photos" / "grey.png")
    config = Config(
        image_size=32, batch_size=8, generator=Generator(width=4, squeeze=4), discriminator=Discriminator(width=4),
        vgg16=VGG16(weights="random", width=4), train=Phase(steps=1),
        data=Data(train=str(folder / "photos"), test=str(folder / "photos"), shorter_side=32),
    )  # fmt: skip
    state = state_lib.create(MODELS["mai"](config), config)
    items = {"params": {"params": state.params, "stats": state.stats}, "opt": state.opt}
    with checkpoint.Writer(folder, keep=1) as writer:
        writer.save(1, items, {"config": config_lib.to_dict(config)})
    return folder


def test_every_photograph_has_one_hole_per_bin_and_keeps_what_is_given(workdir):
    inpainter = Inpainter.from_checkpoint(workdir)
    edges = inpainter.config.evaluation.edges
    examples = list(evaluate(inpainter, sources.open_source(inpainter.config.data, "test")))
    ids = [name for name in ("grey.png", "noise0.png", "noise1.png", "noise2.png") for _ in edges[1:]]
    assert [e.record["id"] for e in examples] == ids
    assert [bin_of(e.record["hole_ratio"], edges) for e in examples] == 4 * list(range(len(edges) - 1))
    for e in examples:
        np.testing.assert_array_equal(e.painted[~e.hole], e.image[~e.hole])
        error = np.mean((e.painted / 255.0 - e.image / 255.0) ** 2)
        assert e.record["psnr"] == pytest.approx(-10 * np.log10(error), abs=1e-4)


def test_the_report_is_whole_strict_json_and_the_same_twice(workdir):
    report.write(workdir)
    files = ("records.jsonl", "table4.md", "evaluation.png")
    first = {name: (workdir / name).read_bytes() for name in files}
    report.write(workdir)
    assert first == {name: (workdir / name).read_bytes() for name in files}

    def refuse(constant):
        raise ValueError(constant)

    records = [json.loads(line, parse_constant=refuse) for line in first["records.jsonl"].splitlines()]
    assert records[0].keys() == {"id", "hole_ratio", "psnr", "ssim", "l1", "mean_colour"}
    assert records[0]["mean_colour"] == {"psnr": "inf", "ssim": 1.0, "l1": 0.0}  # the grey one
    assert "MAI" in first["table4.md"].decode() and "mean colour" in first["table4.md"].decode()


@pytest.mark.parametrize("size", [(32, 32), (45, 70), (16, 100)])
def test_the_inpainter_leaves_every_given_pixel_alone(workdir, size):
    rng = np.random.default_rng(1)
    image, hole = rng.integers(0, 256, (*size, 3), np.uint8), rng.random(size) < 0.5
    before = image.copy()
    painted = Inpainter.from_checkpoint(workdir)(image, hole)
    assert painted.shape == image.shape and painted.dtype == np.uint8
    np.testing.assert_array_equal(painted[~hole], image[~hole])
    np.testing.assert_array_equal(image, before)
    jax.clear_caches()
