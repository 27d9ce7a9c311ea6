"""What a finished comparison left behind, read back: configs, records, logs, times. Nothing is trained or timed."""

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mai_jax import config as config_lib
from mai_jax.comparison import timing
from mai_jax.comparison.classical_rows import TITLES as CLASSICAL
from mai_jax.comparison.run import TIMES, joined
from mai_jax.comparison.timing import Times
from mai_jax.config import Config
from mai_jax.data.folder import read_file
from mai_jax.evaluation import report
from mai_jax.evaluation.runner import Record
from mai_jax.types import InputError
from mai_jax.variants import VARIANTS

OWN = "mai"  # whom the others are compared with
Log = list[dict[str, float]]  # the lines of log.jsonl


@dataclass(frozen=True)
class Finished:
    """`configs` and `logs` are those of the trained methods, by the name of their folder; `rows` says under which name
    the numbers of a folder stand in the records, whose own are MAI's.
    """

    configs: dict[str, Config]
    logs: dict[str, Log]
    rows: dict[str, str]
    records: list[Record]
    result: dict[str, Any]
    times: Times


def configs(workdir: Path, photographs: Path | None = None) -> dict[str, Config]:
    """The configs of the methods that were trained and measured in `workdir`, MAI's first; `photographs` is where
    train/ and test/ lie now, if not where they lay. Raises InputError.
    """
    names = [name for name in VARIANTS if (workdir / name / report.RESULT).is_file()]
    if OWN not in names:
        raise InputError(f"{workdir}: holds no evaluation of MAI ({workdir / OWN / report.RESULT}); name the --workdir "
                         "of tables.py")
    found = {name: _config(workdir / name / "config.json") for name in names}
    if photographs is not None:
        places = {part: str(photographs / part) for part in ("train", "test")}
        found = {name: dataclasses.replace(config, data=dataclasses.replace(config.data, **places))
                 for name, config in found.items()}
    return found


def _config(path: Path) -> Config:
    try:
        return config_lib.from_dict(_json(path))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def read(workdir: Path, configs: Mapping[str, Config]) -> Finished:
    """All that `tables.py` wrote into `workdir`, and what `classical_rows` added. Raises InputError."""
    folders = [*configs, *(name for name in CLASSICAL if (workdir / name / report.RESULT).is_file())]
    times = _times(workdir / TIMES)
    records, result = joined([workdir / name for name in folders])
    rows = {name: _json(workdir / name / report.RESULT)["method"] for name in folders}
    logs = {name: read_log(workdir / name / "log.jsonl") for name in configs}
    return Finished(dict(configs), logs, rows, records, result, times)


def _times(path: Path) -> Times:
    try:
        return timing.from_json(_json(path))
    except (KeyError, TypeError, ValueError, AttributeError) as reason:
        raise InputError(f"{path}: holds no times ({reason!r}); run tables.py again") from reason


def series(log: Log, name: str) -> list[tuple[float, float]]:
    """(step, value) of one scalar, as it was logged."""
    return [(line["step"], line[name]) for line in log if name in line]


def seconds(log: Log) -> float:
    """How long the steps took, by the speeds that were logged: neither pauses between two starts nor the compilation of
    the first program count.
    """
    speeds = [(0.0, math.inf), *series(log, "speed/steps_per_second")]
    return sum((step - before) / speed for (before, _), (step, speed) in itertools.pairwise(speeds))


def read_log(path: Path) -> Log:
    """All lines; what was not finite is so again. Raises InputError."""
    lines = [_object(line, path) for line in _read(path).splitlines()]
    try:
        log = [{name: float(value) for name, value in line.items()} for line in lines]
    except (TypeError, ValueError) as reason:
        raise InputError(f"{path}: no log of a training ({reason}); run tables.py again") from reason
    if not all("step" in line for line in log):
        raise InputError(f"{path}: no log of a training: a line has no step; run tables.py again")
    return log


def _json(path: Path) -> dict[str, Any]:
    return _object(_read(path), path)


def _object(text: bytes, path: Path) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as reason:
        raise InputError(f"{path}: not JSON ({reason}); run tables.py again") from reason
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds {values!r} and no fields; run tables.py again")
    return values


def _read(path: Path) -> bytes:
    try:
        return read_file(path)
    except OSError as reason:
        raise InputError(f"{path}: cannot be read ({reason.strerror}); tables.py writes it") from reason
