"""The short form of `python -m tests.torture.runs`: what tests/training and tests/test_checkpoint.py do not do."""

import json
import shutil
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax import checkpoint
from mai_jax import config as config_lib
from mai_jax.config import Config
from tests.cheap_compilation import environment
from tests.real_runs import ROOT, TINY
from tests.torture.damage import BROKEN, Case, Whole, damages, files
from tests.torture.interruptions import _apart
from tests.torture.lives import Life, Scene

META = {"config": config_lib.to_dict(Config()), "next_index": 0}
LIKE = {"params": {"kernel": jax.ShapeDtypeStruct((3, 3, 8, 64), jnp.float32)}}


def tree(seed: int) -> dict:
    return {"params": {"kernel": jax.random.normal(jax.random.key(seed), (3, 3, 8, 64))}}


def written(workdir, steps, seed=0):
    with checkpoint.Writer(workdir, keep=2) as writer:
        for step in steps:
            writer.save(step, tree(seed + step), META)
    return workdir


def test_any_damage_to_any_file_is_named_or_changes_nothing(tmp_path):
    whole = Whole(written(tmp_path / "run", (1, 2)), LIKE)
    *_, counts = damages(whole, tmp_path, flips=4, seed=0)
    assert counts["losses"] == []
    kinds = counts["kinds"]
    assert sum(kind[outcome] for kind in kinds.values() for outcome in BROKEN) == 0
    assert all(kind["named"] for kind in kinds.values())
    assert counts["files"] == len(files(whole.step)) > 10


def test_another_state_under_the_same_name_is_a_loss(tmp_path):
    """The harness sees what it is there to see."""
    whole = Whole(written(tmp_path / "run", (1, 2)), LIKE)
    assert whole.outcome(written(tmp_path / "other", (1, 2), seed=9))[0] == "silent"
    copy = whole.damaged(Case("empty step folder", whole.step.relative_to(whole.step), 0), tmp_path / "copy", 0)
    shutil.rmtree(copy / checkpoint.FOLDER / "1")
    shutil.copytree(copy / checkpoint.FOLDER / "2", copy / checkpoint.FOLDER / "1")
    with pytest.raises(checkpoint.InputError):  # no earlier checkpoint is whole
        whole._goes_on(copy)


def test_the_newest_checkpoints_stay_whatever_the_clock_says(tmp_path, monkeypatch):
    real, jumps = time.time, iter((0, -86400, 30 * 86400, -86400))
    with checkpoint.Writer(tmp_path, keep=2) as writer:
        for step in range(1, 5):
            offset = next(jumps)
            monkeypatch.setattr(time, "time", lambda offset=offset: real() + offset)
            writer.save(step, tree(step), META)
            writer.wait()
    assert checkpoint.steps(tmp_path) == [3, 4]
    np.testing.assert_array_equal(checkpoint.Reader(tmp_path).read("params", LIKE["params"])["kernel"],
                                  tree(4)["params"]["kernel"])  # fmt: skip


def test_a_folder_that_cannot_be_written_is_named_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    workdir = tmp_path / "file" / "run"
    command = [sys.executable, "train.py", *TINY, f"--workdir={workdir}"]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"error: {workdir}: Not a directory; mend that and start the same command again\n"


def test_what_a_life_says_is_followed(tmp_path):
    talker = "import time; print('compiling'); print('step 7/9  x', flush=True); time.sleep(600)"
    with Life([sys.executable, "-c", talker], environment(), tmp_path / "said.txt") as life:
        assert life.wait_for(step=7, words="compiling") and life.step == 7
        assert life.for_seconds(0) is None and life.going
    assert not life.going and life.resident is None and not life.wait_for(step=8)


def test_a_log_that_differs_is_a_loss(tmp_path):
    scene = Scene(tmp_path, 100)
    for folder, loss in (("a", 1.0), ("b", 1.0 + 1e-7)):
        written(tmp_path / folder, (1, 2))
        (tmp_path / folder / "log.jsonl").write_text(json.dumps({"step": 1, "wall_time": loss, "total": loss}))
    scene.finished[scene.short] = tmp_path / "a"
    assert "the log differs" in scene.not_as_uninterrupted(tmp_path / "b", scene.short)[0]
    assert _apart({"total": 1.0, "zero": 0.0}, {"total": 1.1, "zero": 0.0}) == pytest.approx(0.1 / 1.1)
