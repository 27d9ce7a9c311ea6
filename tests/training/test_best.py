"""The best checkpoint by a validation metric: which one is kept, over restarts too, and its evaluation."""

import dataclasses

import numpy as np
import pytest

from mai_jax import config as config_lib
from mai_jax.cli.main import main
from mai_jax.config import Run
from mai_jax.errors import InputError
from mai_jax.evaluation.report import listing, result_files
from mai_jax.training import best, checkpointing, train_state
from mai_jax.training.checkpointing import CheckpointReader
from tests.tiny_model import Tiny, tiny_config

RUN = Run(keep_best="psnr")


@pytest.fixture
def config():
    return tiny_config("sample_photos", 4, run=RUN)


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


def test_checkpoints_are_evaluated_by_name(config, tmp_path, monkeypatch, capsys):
    def write(target, output, *_, **__):
        evaluated.append((target.stamp["step"], target.stamp["history"], str(output.relative_to(tmp_path))))
        return output

    monkeypatch.setattr(result_files, "write", write)
    monkeypatch.setattr(listing, "table", lambda folder, evaluations: f"{folder.name}: {len(evaluations)}")
    items = train_state.checkpoint_items(train_state.init_on_devices(Tiny(config), config))
    meta = {"config": config_lib.to_dict(config), "history": [{"step": 1, "changes": ["a: 1 -> 2"]}]}
    for folder, steps in ((tmp_path, (2, 4)), (tmp_path / "best", (3,))):
        with checkpointing.CheckpointWriter(folder, keep=2) as writer:
            for step in steps:
                writer.save(step, items, meta)
    history = ["after step 1: a: 1 -> 2"]
    for flag, steps, output in (("all", (2, 4), "\nevaluations: 2\n"), ("best", (3,), ""), ("2", (2,), "")):
        evaluated = []
        assert main(["evaluate", f"--workdir={tmp_path}", f"--step={flag}"]) == 0, capsys.readouterr().err
        assert evaluated == [(step, history, f"evaluations/step{step}") for step in steps]
        assert capsys.readouterr().out == output


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
