"""The real command: a run that is killed and restarted ends as an uninterrupted one; signals save first."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mai_jax.training import checkpointing
from tests.cheap_compilation import environment
from tests.real_runs import ROOT, TINY, last_step, logged, with_compilation_cache

STEPS = 240
FLAGS = [
    *TINY, "--config.batch_size=2", "--config.main_phase.steps=140", "--config.finetune_phase.steps=100",
    "--config.run.save_every=20", "--config.ema_decay=0.9", "--config.run.keep_best=psnr",
    "--config.run.validation_every=70",
]  # fmt: skip


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Return a function that starts `python train.py` on one device; all runs share a cache of compiled programs."""
    env = with_compilation_cache(environment(), tmp_path_factory.mktemp("compiled"))

    def start(workdir: Path, *flags: str) -> subprocess.Popen:
        command = [sys.executable, "train.py", *FLAGS, f"--workdir={workdir}", *flags]
        return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    return start


@pytest.fixture(scope="module")
def uninterrupted(start, tmp_path_factory) -> Path:
    workdir = tmp_path_factory.mktemp("uninterrupted")
    process = start(workdir)
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 0, output
    return workdir


def wait_for_step(process: subprocess.Popen, workdir: Path, step: int) -> None:
    deadline = time.monotonic() + 600
    while last_step(workdir) < step and process.poll() is None:
        assert time.monotonic() < deadline, "no progress"
        time.sleep(0.01)


def assert_same_result(a: Path, b: Path) -> None:
    """Assert that params, batch_stats, opt_state and all logged scalars (hence the data order) are bit-identical."""
    left, right = checkpointing.CheckpointReader(a), checkpointing.CheckpointReader(b)
    assert left.step == right.step == STEPS
    assert left.meta == right.meta  # has a checksum of every array
    assert logged(a) == logged(b)
    best_a, best_b = checkpointing.CheckpointReader(a / "best"), checkpointing.CheckpointReader(b / "best")
    assert best_a.meta == best_b.meta and "ema" in left.meta["arrays"]


def test_ten_sigkills_change_nothing(start, uninterrupted, tmp_path):
    moments = random.Random(2020)
    for _ in range(10):
        process = start(tmp_path)
        wait_for_step(process, tmp_path, last_step(tmp_path) + moments.randrange(2))
        time.sleep(moments.uniform(0, 0.4))
        process.kill()
        process.communicate()
    reached = last_step(tmp_path)
    process = start(tmp_path)
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 0, output
    assert reached > 0, "no kill came while steps were running"
    assert_same_result(uninterrupted, tmp_path)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_saves_first_and_the_same_command_resumes(start, uninterrupted, tmp_path, sent, code):
    process = start(tmp_path)
    wait_for_step(process, tmp_path, 33)
    process.send_signal(sent)
    output, _ = process.communicate(timeout=900)
    assert process.returncode == code, output
    (saved,) = [step for step in checkpointing.steps(tmp_path) if step % 20]
    assert f"{sent.name} at step {saved}: saved" in output
    output, _ = (process := start(tmp_path)).communicate(timeout=900)
    assert process.returncode == 0, output
    assert f"resuming from {tmp_path / 'checkpoints' / str(saved)}" in output
    assert_same_result(uninterrupted, tmp_path)


def test_an_unusable_image_saves_first_and_the_repaired_run_resumes(start, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for i in range(60):
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(photos / f"{i:02}.png")
    whole = (photos / "07.png").read_bytes()
    (photos / "07.png").write_bytes(whole[:500])
    flags = (f"--config.data.train={photos}", "--config.data.test=sample_photos", "--config.main_phase.steps=50",
             "--config.finetune_phase.steps=0")
    process = start(tmp_path / "run", *flags)
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 1
    assert output.splitlines()[-1].startswith("error: 07.png: cannot be read as an image")
    *_, saved = checkpointing.steps(tmp_path / "run")
    assert saved % 20 and saved == last_step(tmp_path / "run")

    (photos / "07.png").write_bytes(whole)
    output, _ = (process := start(tmp_path / "run", *flags)).communicate(timeout=900)
    assert process.returncode == 0 and "all 50 steps are done" in output, output


def test_a_trace_of_some_steps_is_written(start, tmp_path):
    process = start(tmp_path, "--config.main_phase.steps=14", "--config.finetune_phase.steps=0",
                    "--config.run.profile_steps=2")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert f"trace of 2 steps: {tmp_path / 'profile'}" in output
    assert list((tmp_path / "profile").rglob("perfetto_trace.json.gz"))


def test_another_config_in_the_same_workdir_is_refused(start, uninterrupted):
    process = start(uninterrupted, "--config.losses.style=100", "--config.run.log_every=5")
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 1
    assert output.splitlines()[-1].startswith("error: ")
    assert "config.losses.style: 0.1 -> 100.0" in output and "log_every" not in output


def test_a_loss_that_is_not_finite_stops_the_run_and_is_not_saved(start, tmp_path):
    process = start(tmp_path, "--config.losses.style=1e38", "--config.main_phase.learning_rate=1e30")
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 1
    assert "error: step " in output and "last good checkpoint: none yet" in output
    assert "Traceback" not in output
    assert checkpointing.steps(tmp_path) == []
