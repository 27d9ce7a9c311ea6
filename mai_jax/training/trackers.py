"""Experiment trackers, W&B and MLflow, as writers of scalars and pictures.

A tracker has those methods of clu's `metric_writers.MetricWriter` that a training needs. The interface itself cannot be
imported without TensorFlow.

The id that a tracker gives to a run is kept in WORKDIR/trackers.json, so that a resumed training goes on with it there.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from mai_jax.config import Config
from mai_jax.config_fields import describe
from mai_jax.errors import InputError
from mai_jax.files import write_atomically

PROJECT = "mai_jax"  # of W&B, and the experiment of MLflow, unless the environment names another
IDS = "trackers.json"

log = logging.getLogger(__name__)


@runtime_checkable
class Tracker(Protocol):
    """A writer of scalars and pictures. `id` is that of its run, by which it can be opened again."""

    id: str

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None: ...

    def write_images(self, step: int, images: Mapping[str, UInt8[np.ndarray, "h w 3"]]) -> None: ...

    def close(self) -> None: ...


class Wandb:
    """A run of Weights & Biases. Values are shown over "step", so that steps that run again do not end the run."""

    def __init__(self, workdir: Path, settings: Mapping[str, Any], run_id: str | None) -> None:
        import wandb

        self._wandb = wandb
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT), name=workdir.absolute().name, dir=str(workdir),
            id=run_id, resume="allow", config=dict(settings), settings=wandb.Settings(console="off", silent=True))
        self._run.define_metric("*", step_metric="step")
        self.id = self._run.id

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        self._run.log({**scalars, "step": step})

    def write_images(self, step: int, images: Mapping[str, UInt8[np.ndarray, "h w 3"]]) -> None:
        self._run.log({name: self._wandb.Image(image) for name, image in images.items()} | {"step": step})

    def close(self) -> None:
        self._run.finish()


class Mlflow:
    """A run of MLflow on the server of MLFLOW_TRACKING_URI, by default a database in the current folder."""

    def __init__(self, workdir: Path, settings: Mapping[str, Any], run_id: str | None) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param

        self._client, self._metric = MlflowClient(), Metric
        if run_id is None:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
            experiment = self._client.get_experiment_by_name(name)
            place = experiment.experiment_id if experiment else self._client.create_experiment(name)
            run_id = self._client.create_run(place, run_name=workdir.absolute().name).info.run_id
            params = [Param(name, str(value)) for name, value in settings.items()]
            for i in range(0, len(params), 100):  # at most in one request
                self._client.log_batch(run_id, params=params[i : i + 100])
        else:
            self._client.update_run(run_id, status="RUNNING")
        self.id: str = run_id

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        self._client.log_batch(self.id, [self._metric(name, value, now, step) for name, value in scalars.items()])

    def write_images(self, step: int, images: Mapping[str, UInt8[np.ndarray, "h w 3"]]) -> None:
        for name, image in images.items():
            self._client.log_image(self.id, image, artifact_file=f"{name}_{step:08d}.png")

    def close(self) -> None:
        self._client.set_terminated(self.id)


KINDS: dict[str, Callable[[Path, Mapping[str, Any], str | None], Tracker]] = {"wandb": Wandb, "mlflow": Mlflow}


def open_trackers(config: Config, workdir: Path) -> list[Tracker]:
    """Return the trackers of `config.run.writers`, each with a run for `workdir`.

    Raises InputError if one is not installed or cannot be reached.
    """
    names = [name for name in config.run.writers if name in KINDS]
    if not names:
        return []
    settings = {field.name: field.value for field in describe(config)}
    path = workdir / IDS
    try:
        ids = json.loads(path.read_bytes()) if path.exists() else {}
    except ValueError as error:
        raise InputError(f"{path}: is damaged; remove it: the trackers then start new runs") from error
    trackers = []
    for name in names:
        try:
            trackers.append(KINDS[name](workdir, settings, ids.get(name)))
        except ModuleNotFoundError as error:
            raise InputError(f"config.run.writers: {error.name} is not installed; pip install 'mai_jax[{name}]', or "
                             f"leave {name} out") from error
        except Exception as error:  # of the network, the login or the server
            raise InputError(f"config.run.writers: {name} cannot be started ({_reason(error)}); fix that, or leave it "
                             "out") from error
    workdir.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(ids | dict(zip(names, (t.id for t in trackers), strict=True))).encode() + b"\n")
    return trackers


def call(trackers: list[Tracker], method: str, *arguments: Any) -> None:
    """Call a method of all trackers. One that fails is reported and removed: it must not end the training."""
    for tracker in [*trackers]:
        try:
            getattr(tracker, method)(*arguments)
        except Exception as error:  # of the network or the server
            log.warning("%s: %s; nothing more is written to it in this process, log.jsonl has everything",
                        type(tracker).__name__.lower(), _reason(error))
            trackers.remove(tracker)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
