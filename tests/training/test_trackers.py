"""W&B and MLflow get scalars and pictures, a run is found again, and their failures end no training."""

import json
import sys
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from mai_jax.config import Config, Run
from mai_jax.errors import InputError
from mai_jax.training import trackers
from mai_jax.training.metric_writer import MetricWriter

PICTURE = np.zeros((4, 6, 3), np.uint8)
BOTH = Config(run=Run(writers=("wandb", "mlflow")))


@pytest.fixture
def calls(monkeypatch):
    """Replace both packages by ones that record what they are called with. Return the record."""
    found = []

    def recorder(name, result=None):
        return lambda *arguments, **named: found.append((name, arguments, named)) or result

    run = SimpleNamespace(id="w1", define_metric=recorder("axis"), log=recorder("wandb.log"), finish=recorder("finish"))
    wandb = SimpleNamespace(init=recorder("wandb.init", run), Settings=lambda **named: named, Image=np.shape)
    client = SimpleNamespace(
        get_experiment_by_name=lambda name: None, create_experiment=recorder("experiment", "7"),
        create_run=recorder("create_run", SimpleNamespace(info=SimpleNamespace(run_id="m1"))),
        update_run=recorder("update_run"), log_batch=recorder("log_batch"), log_image=recorder("log_image"),
        set_terminated=recorder("terminated"))  # fmt: skip

    class Metric(NamedTuple):
        key: str
        value: float
        timestamp: int
        step: int

    class Param(NamedTuple):
        key: str
        value: str

    entities = SimpleNamespace(Metric=Metric, Param=Param)
    for name, module in (("wandb", wandb), ("mlflow", SimpleNamespace(MlflowClient=lambda: client, entities=entities)),
                         ("mlflow.entities", entities)):
        monkeypatch.setitem(sys.modules, name, module)
    return found


def named(calls, name):
    return [(arguments, keywords) for called, arguments, keywords in calls if called == name]


def test_scalars_pictures_and_settings_reach_both_and_a_run_goes_on(calls, tmp_path):
    workdir = tmp_path / "new" / "run"
    for step in (3, 4):
        with MetricWriter(workdir, step=step - 1, with_tensorboard=False,
                          send_to=trackers.open_trackers(BOTH, workdir)) as writer:
            writer.write_scalars(step, {"loss/total": np.float32(0.5)})
            writer.write_image(step, "validation", PICTURE)
    assert not (workdir / "tensorboard").exists() and len((workdir / "log.jsonl").read_text().splitlines()) == 2
    assert json.loads((workdir / "trackers.json").read_text()) == {"wandb": "w1", "mlflow": "m1"}
    (_, first), (_, second) = named(calls, "wandb.init")
    assert (first["id"], second["id"]) == (None, "w1") and first["resume"] == "allow" and first["name"] == "run"
    assert first["config"]["losses.style"] == 120 and first["config"]["run.writers"] == ("wandb", "mlflow")
    assert [arguments[0] for arguments, _ in named(calls, "wandb.log")][:2] == [
        {"loss/total": 0.5, "step": 3}, {"validation": (4, 6, 3), "step": 3}]
    assert len(named(calls, "create_run")) == 1 and named(calls, "update_run") == [(("m1",), {"status": "RUNNING"})]
    batches = named(calls, "log_batch")
    params = [param for _, keywords in batches for param in keywords.get("params", ())]
    assert ("losses.style", "120.0") in params and all(len(k.get("params", ())) <= 100 for _, k in batches)
    metrics = [metric for arguments, _ in batches for metric in arguments[1:]]
    assert [(m.key, m.value, m.step) for [m] in metrics] == [("loss/total", 0.5, 3), ("loss/total", 0.5, 4)]
    assert [keywords["artifact_file"] for _, keywords in named(calls, "log_image")] == [
        "validation_00000003.png", "validation_00000004.png"]
    assert len(named(calls, "finish")) == len(named(calls, "terminated")) == 2


def test_a_tracker_that_fails_is_left_out_and_the_log_goes_on(calls, tmp_path, monkeypatch, caplog):
    opened = trackers.open_trackers(BOTH, tmp_path)
    monkeypatch.setattr(opened[0], "write_scalars", lambda *arguments: 1 / 0)
    with MetricWriter(tmp_path, step=0, send_to=opened) as writer:
        for step in (1, 2):
            writer.write_scalars(step, {"loss": step})
    assert caplog.messages == ["wandb: division by zero; nothing more is written to it in this process, log.jsonl has "
                               "everything"]
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2
    assert len([1 for arguments, _ in named(calls, "log_batch") if len(arguments) > 1]) == 2


def test_trackers_that_cannot_be_used_are_one_line(calls, tmp_path, monkeypatch):
    (tmp_path / "trackers.json").write_text("{")
    with pytest.raises(InputError, match=r"trackers\.json: is damaged; remove it"):
        trackers.open_trackers(BOTH, tmp_path)
    (tmp_path / "trackers.json").unlink()
    monkeypatch.setattr(sys.modules["wandb"], "init", lambda **keywords: [][0])
    with pytest.raises(InputError, match=r"wandb cannot be started \(list index out of range\); fix that, or leave it"):
        trackers.open_trackers(BOTH, tmp_path)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match=r"wandb is not installed; pip install 'mai_jax\[wandb\]', or leave wandb out"):
        trackers.open_trackers(BOTH, tmp_path)
    assert not (tmp_path / "trackers.json").exists()
