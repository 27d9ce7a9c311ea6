"""Short versions of the parts of `python -m tests.torture.runs` that tests/training does not cover."""

import json
import shutil
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax import config as config_lib
from mai_jax.config import Config
from mai_jax.training import checkpointing
from tests.cheap_compilation import environment
from tests.real_runs import ROOT, TINY
from tests.torture.damage import BROKEN, Case, IntactRun, damages, files
from tests.torture.interruptions import _difference
from tests.torture.run_process import RunProcess, Workspace

META = {"config": config_lib.to_dict(Config()), "next_index": 0}
LIKE = {"params": {"kernel": jax.ShapeDtypeStruct((3, 3, 8, 64), jnp.float32)}}


def tree(seed: int) -> dict:
    return {"params": {"kernel": jax.random.normal(jax.random.key(seed), (3, 3, 8, 64))}}


def written(workdir, steps, seed=0):
    with checkpointing.CheckpointWriter(workdir, keep=2) as writer:
        for step in steps:
            writer.save(step, tree(seed + step), META)
    return workdir


def test_any_damage_to_any_file_is_named_or_harmless(tmp_path):
    run = IntactRun(written(tmp_path / "run", (1, 2)), LIKE)
    *_, counts = damages(run, tmp_path, flips=4, seed=0)
    assert counts["losses"] == []
    kinds = counts["kinds"]
    assert sum(kind[outcome] for kind in kinds.values() for outcome in BROKEN) == 0
    assert all(kind["named"] for kind in kinds.values())
    assert counts["files"] == len(files(run.step)) > 10


def test_another_state_under_the_same_name_is_a_loss(tmp_path):
    """The harness itself detects silent changes."""
    run = IntactRun(written(tmp_path / "run", (1, 2)), LIKE)
    assert run.outcome(written(tmp_path / "other", (1, 2), seed=9))[0] == "silent"
    copy = run.damaged(Case("empty step folder", run.step.relative_to(run.step), 0), tmp_path / "copy", 0)
    shutil.rmtree(copy / checkpointing.FOLDER / "1")
    shutil.copytree(copy / checkpointing.FOLDER / "2", copy / checkpointing.FOLDER / "1")
    with pytest.raises(checkpointing.InputError):  # no earlier checkpoint is intact
        run._can_resume(copy)


def test_the_newest_checkpoints_are_kept_despite_clock_jumps(tmp_path, monkeypatch):
    real, jumps = time.time, iter((0, -86400, 30 * 86400, -86400))
    with checkpointing.CheckpointWriter(tmp_path, keep=2) as writer:
        for step in range(1, 5):
            offset = next(jumps)
            monkeypatch.setattr(time, "time", lambda offset=offset: real() + offset)
            writer.save(step, tree(step), META)
            writer.wait()
    assert checkpointing.steps(tmp_path) == [3, 4]
    np.testing.assert_array_equal(checkpointing.CheckpointReader(tmp_path).read("params", LIKE["params"])["kernel"],
                                  tree(4)["params"]["kernel"])  # fmt: skip


def test_a_folder_that_cannot_be_written_is_named_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    workdir = tmp_path / "file" / "run"
    command = [sys.executable, "train.py", *TINY, f"--workdir={workdir}"]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"error: {workdir}: Not a directory; fix that and start the same command again\n"


def test_the_output_of_a_process_is_followed(tmp_path):
    program = "import time; print('compiling'); print('step 7/9  x', flush=True); time.sleep(600)"
    with RunProcess([sys.executable, "-c", program], environment(), tmp_path / "output.txt") as process:
        assert process.wait_for(step=7, words="compiling") and process.step == 7
        assert process.wait_until_age(0) is None and process.running
    assert not process.running and process.resident is None and not process.wait_for(step=8)


def test_a_log_that_differs_is_a_loss(tmp_path):
    workspace = Workspace(tmp_path, 100)
    for folder, loss in (("a", 1.0), ("b", 1.0 + 1e-7)):
        written(tmp_path / folder, (1, 2))
        (tmp_path / folder / "log.jsonl").write_text(json.dumps({"step": 1, "wall_time": loss, "total": loss}))
    workspace.finished[workspace.short] = tmp_path / "a"
    assert "the log differs" in workspace.differences(tmp_path / "b", workspace.short)[0]
    for step, event in ((3, "x.png is left out"), (5, "x.png is left out"), (5, "y.png is left out")):
        lines = ({"step": 1, "total": 1.0}, {"step": step, "event": event})
        (tmp_path / "b" / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        if step == 3:
            shutil.copy(tmp_path / "b" / "log.jsonl", tmp_path / "a")
        found = workspace.differences(tmp_path / "b", workspace.short)
        assert any("the log differs" in line for line in found) == ("y.png" in event)
    assert _difference({"total": 1.0, "zero": 0.0}, {"total": 1.1, "zero": 0.0}) == pytest.approx(0.1 / 1.1)
