"""A sweep trains every combination once, goes on after a failed run, and writes a table or a Slurm script."""

import os
import shlex
import signal
import subprocess

import pytest

from mai_jax.cli import config_argument
from mai_jax.cli.main import main, parser_of
from mai_jax.compare import sweep
from mai_jax.errors import RunError
from mai_jax.training.checkpointing import CheckpointReader
from tests.untrained import noise_photographs


@pytest.fixture
def arguments(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "tiny.py"
    config.write_text("from tests.tiny_model import get_config")
    photographs = noise_photographs(tmp_path / "a folder", 4, 32, 32)
    return ["sweep", "--config=tiny.py", f"--config.data.train={photographs}", f"--config.data.test={photographs}"]


GRID = ["--grid", "losses.hole=3,6", "config.generator.attention_stages=(1,2),(1,)"]
NAMES = [f"hole_{hole}-attention_stages_{stages}" for hole in (3, 6) for stages in ("_1_2_", "_1_")]


def test_every_combination_is_trained_once_and_a_failed_run_does_not_stop_the_others(
    arguments, tmp_path, monkeypatch, capsys
):  # fmt: skip
    train, started = sweep.train, []

    def fails_once(config, workdir):
        started.append(workdir.name)
        if len(started) == 1:
            raise RunError("step 1: loss is nan")
        return train(config, workdir)

    def table():
        lines = (tmp_path / "runs" / "tiny_sweep" / "sweep.md").read_text().splitlines()
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]

    monkeypatch.setattr(sweep, "train", fails_once)
    arguments += ["--grid", "losses.hole=3,6"]
    assert main(arguments) == 1 and started == ["hole_3", "hole_6"]
    assert "error: step 1: loss is nan" in capsys.readouterr().out
    head, _, *rows = table()
    assert head == ["run", "losses.hole", "steps", "hole_l1", "psnr", "ssim"]
    assert rows[0] == ["hole_3", "3", "0 of 2", "-", "-", "-"]
    assert rows[1][:3] == ["hole_6", "6", "2 of 2"] and float(rows[1][4]) > 1
    assert CheckpointReader(tmp_path / "runs" / "tiny_sweep" / "hole_6").config.losses.hole == 6

    assert main(arguments) == 0 and started[2:] == ["hole_3"]
    assert [row[2] for row in table()[2:]] == ["2 of 2", "2 of 2"] and table()[3] == rows[1]
    assert main([*arguments, "--config.batch_size=16"]) == 1 and len(started) == 3
    assert "was trained with another config: config.batch_size: 8 -> 16" in capsys.readouterr().err


def test_a_signal_ends_the_sweep(arguments, monkeypatch, tmp_path):
    monkeypatch.setattr(sweep, "train", lambda config, workdir: signal.SIGINT)
    assert main([*arguments, *GRID]) == 130
    assert not (tmp_path / "runs" / "tiny_sweep" / "sweep.md").exists()


@pytest.mark.parametrize("grid, message", [
    ([], "--grid: names no field"),
    (["losses.hole"], "--grid losses.hole: must be FIELD=VALUE,"),
    (["losses.hole=1,,2"], "--grid losses.hole=1,,2: must be FIELD=VALUE,"),
    (["losses.hole=1,1.0"], "--grid: hole_1.0 and hole_1 are the same run"),
    (["losses.hole=1", "losses.hole=2"], "losses.hole is given twice; give all its values at once"),
    (["losses.hle=1"], "no such field; the nearest is losses.hole"),
    (["losses.hole=1,a"], "--config.losses.hole=a: must be a finite number"),
    (["batch_size=8,12"], "config.batch_size=12: not a multiple of the 8 devices"),
    (["image_size=32,33"], "config.image_size=33: must be a power of two"),
])
def test_unusable_grids_are_one_line_before_any_training(arguments, tmp_path, capsys, grid, message):
    assert main([*arguments, *(["--grid", *grid] if grid else [])]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (tmp_path / "runs").exists()


def test_the_slurm_script_starts_the_run_of_its_task(arguments, tmp_path):
    assert main([*arguments, *GRID, "--slurm"]) == 0
    script = tmp_path / "runs" / "tiny_sweep" / "sweep.sh"
    (tmp_path / "mai").write_text('#!/bin/bash\nprintf "%q " "$@"\n((SLURM_ARRAY_TASK_ID < 3))\n')
    (tmp_path / "mai").chmod(0o755)
    assert "#SBATCH --array=0-3\n" in script.read_text()
    for task in (0, 3):
        environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": str(task)}
        done = subprocess.run(["bash", script], env=environment, capture_output=True, text=True)
        assert done.returncode == (task == 3)
        command, *flags = shlex.split(done.stdout)
        given = parser_of("train").parse(flags)
        config = config_argument.load(given)
        assert command == "train" and given.workdir == f"runs/tiny_sweep/{NAMES[task]}"
        assert (config.losses.hole, config.generator.attention_stages) == [(3, (1, 2)), (6, (1,))][task > 0]
        assert config.data.train == str(tmp_path / "a folder")
