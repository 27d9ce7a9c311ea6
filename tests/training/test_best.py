"""The best checkpoint by a validation metric: which one is kept, over restarts too, and its evaluation."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from mai_jax import config as config_lib
from mai_jax.cli.main import main
from mai_jax.config import Losses, Run
from mai_jax.errors import InputError
from mai_jax.inference.model_loading import load_model
from mai_jax.training import best, checkpointing
from mai_jax.training.checkpointing import CheckpointReader
from mai_jax.training.trainer import train
from tests.real_runs import logged
from tests.tiny_model import tiny_config
from tests.untrained import noise_photographs

RUN = Run(save_every=2, keep_checkpoints=99, log_every=1, validation_every=1, validation_images=2, keep_best="psnr")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    photographs = noise_photographs(tmp_path_factory.mktemp("data") / "photographs", 3, 40, 40)
    return tiny_config(photographs, 4, ema_decay=0.5, run=RUN, losses=Losses(hole=6.0, valid=1.0))


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "finished"
    train(config, folder)
    return folder


def values(folder, metric="psnr"):
    return {line["step"]: line[f"validation/{metric}"] for line in logged(folder) if f"validation/{metric}" in line}


def test_the_best_step_is_kept_without_the_optimizer(finished):
    psnr = values(finished)
    assert psnr.keys() == {1, 2, 3, 4}
    reader = CheckpointReader(finished / "best")
    assert reader.step == max(psnr, key=psnr.get)
    assert reader.meta["validation"] == {"metric": "psnr", "value": psnr[reader.step]}
    assert reader.meta["arrays"].keys() == {"params", "ema"}
    assert load_model(finished / "best").step == reader.step
    assert checkpointing.steps(finished) == [2, 4]


def save(config, folder, start, *steps):
    """Give the steps with their PSNR to a new process's `BestCheckpoint`."""
    def checkpoint():
        array = np.ones(3, np.float32)
        return {"params": {"a": array}, "opt_state": {"b": array}}, {"config": config_lib.to_dict(config)}

    with best.BestCheckpoint(config, folder, start=start) as kept:
        for step, psnr in steps:
            kept.update(step, {"validation/psnr": psnr, "validation/hole_l1": psnr}, checkpoint)
    return checkpointing.steps(folder / "best")


def test_a_restart_compares_with_the_best_before(config, tmp_path):
    nan = float("nan")
    assert save(config, tmp_path, 0, (1, nan), (2, 20.0), (3, 21.0), (4, 20.5)) == [3]
    assert save(config, tmp_path, 2, (3, 21.0), (4, 20.5)) == [3]  # killed after step 3: repeats it
    assert save(config, tmp_path, 4, (5, 20.9)) == [3]
    assert save(config, tmp_path, 5, (6, 21.1)) == [6]
    by_l1 = dataclasses.replace(config, run=dataclasses.replace(RUN, keep_best="hole_l1"))
    assert save(by_l1, tmp_path, 6, (7, 50.0), (8, 0.2), (9, 0.3)) == [8]
    assert save(dataclasses.replace(config, run=Run()), tmp_path, 9, (10, 99.0)) == [8]


def test_a_best_checkpoint_of_steps_that_run_again_under_another_config_is_removed(config, tmp_path):
    changed = dataclasses.replace(config, batch_size=16)
    assert save(config, tmp_path, 0, (3, 21.0)) == [3]
    assert save(changed, tmp_path, 3, (4, 20.0)) == [3]
    assert save(changed, tmp_path, 2, (3, 19.0)) == [3]
    assert CheckpointReader(tmp_path / "best").meta["validation"]["value"] == 19.0
    (tmp_path / "best" / "checkpoints" / "3" / "meta" / "metadata").write_text("{")
    with pytest.raises(InputError, match=r"best: holds a damaged checkpoint, .*; remove the folder"):
        save(changed, tmp_path, 3)


def test_checkpoints_are_evaluated_by_name(finished, capsys):
    assert main(["evaluate", f"--workdir={finished}", "--step=all"]) == 0, capsys.readouterr().err
    *_, head, first, second = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["evaluation", "method"]
    assert [line.split()[:3] for line in (first, second)] == [["step2", "Tiny", "2"], ["step4", "Tiny", "4"]]
    best_step = CheckpointReader(finished / "best").step
    assert main(["evaluate", f"--workdir={finished}", "--step=best"]) == 0
    assert (finished / "evaluations" / f"step{best_step}" / "result.json").is_file()


@pytest.mark.parametrize(("flags", "message"), [
    ("--step=last", "'last': must be a number, best or all"), ("--step=7", "no such folder"),
    ("--step=best", "x/best holds no checkpoint; train with --config.run.keep_best=psnr"),
    ("--step=all --output=y", "--output names one folder"),
])
def test_a_step_that_cannot_be_evaluated_is_one_line(tmp_path, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "--workdir=x", *flags.split()]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
