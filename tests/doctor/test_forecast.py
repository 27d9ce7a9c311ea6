"""Disk, memory and time of a tiny run; what would stop it is an error, nothing is written, and the exit code is 1."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from mai_jax.config import VGG16, Config, Data, Discriminator, Generator, Phase, Run
from mai_jax.data import sources
from mai_jax.data.containers import Folder
from mai_jax.data.hole_sampler import make_hole_sampler
from mai_jax.doctor import examine, forecast
from mai_jax.models import MODELS
from mai_jax.training import checkpointing, continuation, train_state
from mai_jax.training.continuation import NO_CHANGES, StartOptions
from tests.cheap_compilation import environment
from tests.untrained import noise_photographs

ROOT = Path(__file__).parents[2]
TINY = Config(
    method="pconv", image_size=32, batch_size=8, data=Data(shorter_side=40), main_phase=Phase(steps=50),
    generator=Generator(width=4, se_reduction=4), discriminator=Discriminator(width=4),
    vgg16=VGG16(weights="random", width=4),
    finetune_phase=Phase(steps=10), run=Run(keep_checkpoints=3, save_every=10),
)  # fmt: skip
HOLE_SAMPLER = make_hole_sampler("drawn", TINY.holes, TINY.image_size)


def bytes_of(config, *fields):
    shapes = jax.eval_shape(lambda: vars(train_state.init_state(MODELS[config.method](config), config)))
    return sum(leaf.size * 4 for leaf in jax.tree.leaves([shapes[field] for field in fields]))


class FakeStep(jax.stages.Compiled):
    """A compiled step that reports a need of 100 MiB and returns its input state."""

    def __init__(self):
        pass

    def __call__(self, state, images, mask_bank):
        return state, {"generator/total": jnp.float32(1)}

    def memory_analysis(self):
        return SimpleNamespace(argument_size_in_bytes=90 * 2**20, output_size_in_bytes=50 * 2**20,
                               alias_size_in_bytes=45 * 2**20, temp_size_in_bytes=5 * 2**20)


@pytest.fixture
def forecast_of(monkeypatch):
    monkeypatch.setattr(forecast, "compile_train_step", lambda *_: FakeStep())
    return lambda workdir, source=None, options=NO_CHANGES: forecast.training(
        TINY, workdir, source or sources.open_source(TINY.data, "train"), HOLE_SAMPLER, 3, options)


def test_memory_speed_and_finish_time(forecast_of, tmp_path, monkeypatch):
    measured = forecast.Speed(2.0, 0.05)
    monkeypatch.setattr(forecast, "dry_run", lambda *_: measured)
    monkeypatch.setattr(forecast, "_host_memory", lambda: 8 * 2**30)
    section = forecast_of(tmp_path)
    assert section.facts[0] == "memory: a step needs 800.0 MiB, 9.8% of 8.0 GiB"  # eight devices share one memory
    assert section.facts[1] == "speed: 16 images/s, 2 steps/s, 5.0% of the time waiting for photographs"
    assert section.facts[2].startswith("finish: 60 steps left take 0:30, until 20") and not section.findings
    measured = forecast.Speed(2.0, 0.5)
    monkeypatch.setattr(forecast, "_host_memory", lambda: 850 * 2**20)
    memory, data = forecast_of(tmp_path).findings
    assert memory.severity == data.severity == "warning"
    assert "nearly fills" in memory.message and "waits for photographs" in data.message
    assert "read_threads" in data.consequence


def test_an_unusable_photograph_stops_the_dry_run(forecast_of, tmp_path):
    (tmp_path / "0.png").write_text("no image")
    [finding] = forecast_of(tmp_path, sources.Files(Folder(tmp_path, ["0.png"]))).findings
    assert finding.severity == "error" and finding.message.startswith("0.png: is not an image")


def test_a_step_that_does_not_fit_is_not_run(forecast_of, tmp_path, monkeypatch):
    monkeypatch.setattr(forecast, "_host_memory", lambda: 2**20)
    monkeypatch.setattr(forecast, "dry_run", None)
    [finding] = forecast_of(tmp_path).findings
    assert finding.severity == "error" and "does not fit" in finding.message
    assert "config.batch_size" in finding.consequence


def test_a_run_of_another_config_is_refused_and_a_finished_one_needs_nothing(forecast_of, tmp_path, monkeypatch):
    (tmp_path / "checkpoints" / "60").mkdir(parents=True)

    class FakeReader(checkpointing.CheckpointReader):
        step, config = 60, dataclasses.replace(TINY, seed=1)

        def __init__(self, workdir):
            pass

    monkeypatch.setattr(continuation, "CheckpointReader", FakeReader)
    [finding] = forecast_of(tmp_path).findings
    assert finding.severity == "error" and "config.seed: 1 -> 0" in finding.message
    FakeReader.config = TINY
    section = forecast_of(tmp_path)
    assert section.facts == ["all 60 steps are done"] and not section.findings


def test_initial_weights_that_cannot_be_read_are_an_error(forecast_of, tmp_path):
    [finding] = forecast_of(tmp_path / "run", options=StartOptions(init_from=str(tmp_path / "none"))).findings
    assert finding.severity == "error" and "none: no such folder" in finding.message
    assert not (tmp_path / "run").exists()


def test_disk_counts_the_checkpoints_still_to_be_written(tmp_path, monkeypatch):
    config = dataclasses.replace(TINY, generator=Generator(width=64))
    size = bytes_of(config, "params", "batch_stats", "opt_state")
    space = {"free": 4 * size + checkpointing.MARGIN}
    monkeypatch.setattr(forecast.shutil, "disk_usage", lambda _: SimpleNamespace(free=space["free"] + 1000))
    workdir = tmp_path / "not" / "yet"
    assert not forecast.disk(config, workdir).findings and not workdir.exists()  # 3 that are kept, 1 being written
    space["free"] -= 2000
    [finding] = forecast.disk(config, workdir).findings
    assert finding.severity == "error"
    (tmp_path / "checkpoints" / "10").mkdir(parents=True)
    assert not forecast.disk(config, tmp_path).findings
    all_kept = dataclasses.replace(config, run=Run(keep_checkpoints=3, save_every=10, keep_every=20))  # of 60 steps
    assert forecast.disk(all_kept, workdir).facts[0].split("; ")[1].startswith("6 more checkpoints")
    few = dataclasses.replace(config, run=Run(save_every=30))  # 2 in all
    assert "; 2 more checkpoints of 133.0 MiB need 330.0 MiB" in forecast.disk(few, workdir).facts[0]


def test_a_data_set_is_not_downloaded(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(examine.tfds_source, "is_prepared", lambda name: False)
    monkeypatch.setattr(sources, "open_source", None)
    assert examine.examine(dataclasses.replace(TINY, data=Data(train="places2", shorter_side=40)), tmp_path, 20)
    assert "places2 is not on this machine yet: not examined" in capsys.readouterr().out


def command(tmp_path, *flags):
    """Run the command on one device. Return (exit code, standard output)."""
    tiny = ["--config.image_size=32", "--config.data.shorter_side=40", "--config.generator.width=4",
            "--config.vgg16.width=4", "--config.main_phase.steps=600", "--config.finetune_phase.steps=0"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "mai_jax", "doctor", "--config=configs/quickstart.py:pconv", *tiny,
         f"--workdir={tmp_path / 'run'}", *flags],
        cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert not (tmp_path / "run").exists()
    return done.returncode, done.stdout


def test_a_clean_run_is_forecast_and_exits_with_0(tmp_path):
    # Small files and a slower network: waiting for photographs is a warning, also on a busy machine.
    train, test = (noise_photographs(tmp_path / name, 6, 72, width) for name, width in (("train", 76), ("test", 80)))
    code, out = command(tmp_path, "--steps=4", f"--config.data.train={train}", f"--config.data.test={test}",
                        "--config.image_size=64", "--config.data.shorter_side=72", "--config.generator.width=24")
    assert code == 0 and out.endswith("\n\nno errors, no warnings: nothing would stop the training\n"), out
    needed, share, total = map(float, re.search(
        r"memory: a step needs (.*) MiB, (.*)% of (.*) GiB", out).groups())
    config = dataclasses.replace(TINY, batch_size=8)
    assert bytes_of(config, "params", "batch_stats", "opt_state") < needed * 2**20 < 2**30
    assert share == pytest.approx(100 * needed / 1024 / total, abs=0.1)
    images, steps, wait = map(float, re.search(r"speed: (.*) images/s, (.*) steps/s, (.*)% of", out).groups())
    assert images == pytest.approx(8 * steps, rel=0.02) and 0 <= wait <= 100
    left, minutes, seconds = map(int, re.search(r"finish: (\d+) steps left take (\d+):(\d+)", out).groups())
    assert left == 600 and 60 * minutes + seconds == pytest.approx(600 / steps, rel=0.02, abs=1)


def test_an_error_exits_with_1(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(rng.integers(0, 255, (90, 90, 3), np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "4.jpg").write_text("no image")
    code, out = command(tmp_path, "--steps=0", f"--config.data.train={tmp_path}")
    assert code == 1 and out.endswith("\n\n1 error, no warnings: fix the errors before training\n"), out
    assert "error: 1 unusable: 4.jpg: is not an image of a known format\n" in out
