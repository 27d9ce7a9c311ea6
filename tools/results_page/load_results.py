"""Reading of the files of a finished comparison: configs, records, logs and times."""

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mai_jax import config as config_lib
from mai_jax.compare import timing
from mai_jax.compare.compare import TIMES, join
from mai_jax.compare.timing import Times
from mai_jax.config import Config
from mai_jax.errors import InputError
from mai_jax.evaluation.evaluator import Record
from mai_jax.evaluation.report import result_files
from mai_jax.files import read_file
from mai_jax.training import training_log
from mai_jax.variants import VARIANTS
from tools.results_page.classical_rows import TITLES as CLASSICAL

PRIMARY = "mai"  # the method that is compared with all others
Log = list[dict[str, float]]  # the lines of log.jsonl


@dataclass(frozen=True)
class Results:
    """The results of a comparison.

    `configs` and `logs` are those of the trained methods by folder name. `records` have MAI as primary method; `rows`
    maps folder names to the names of the methods in the records.
    """

    configs: dict[str, Config]
    logs: dict[str, Log]
    rows: dict[str, str]
    records: list[Record]
    result: dict[str, Any]
    times: Times


def configs(workdir: Path, photographs: Path | None = None) -> dict[str, Config]:
    """Return the configs of the methods that were trained and evaluated in `workdir`, MAI's first.

    `photographs` is the current folder of train/ and test/ if they have moved. Raises InputError if MAI was not
    evaluated or a config cannot be read.
    """
    names = [name for name in VARIANTS if (workdir / name / result_files.RESULT).is_file()]
    if PRIMARY not in names:
        raise InputError(f"{workdir}: holds no evaluation of MAI ({workdir / PRIMARY / result_files.RESULT}); give the "
                         "--workdir of mai compare")
    configs = {name: _config(workdir / name / "config.json") for name in names}
    if photographs is not None:
        folders = {part: str(photographs / part) for part in ("train", "test")}
        configs = {name: dataclasses.replace(config, data=dataclasses.replace(config.data, **folders))
                   for name, config in configs.items()}
    return configs


def _config(path: Path) -> Config:
    try:
        return config_lib.from_dict(_json(path))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def read(workdir: Path, configs: Mapping[str, Config]) -> Results:
    """Return the results that `mai compare` and `classical_rows` wrote into `workdir`.

    Raises InputError if a file is missing or invalid.
    """
    folders = [*configs, *(name for name in CLASSICAL if (workdir / name / result_files.RESULT).is_file())]
    times = _times(workdir / TIMES)
    records, result = join([workdir / name for name in folders])
    rows = {name: _json(workdir / name / result_files.RESULT)["method"] for name in folders}
    logs = {name: read_log(workdir / name / "log.jsonl") for name in configs}
    return Results(dict(configs), logs, rows, records, result, times)


def check_repeated(workdirs: Sequence[Path], by_seed: Sequence[Results]) -> None:
    """Raise InputError unless the comparisons are the same but for the seed."""
    first, *others = by_seed
    for workdir, other in zip(workdirs[1:], others, strict=True):
        if list(other.rows.items()) != list(first.rows.items()):
            raise InputError(f"{workdir}: has the methods {', '.join(other.rows)}, {workdirs[0]} has "
                             f"{', '.join(first.rows)}; train and evaluate the same ones")
        if other.result["pairs_sha256"] != first.result["pairs_sha256"]:
            raise InputError(f"{workdir}: was evaluated on other photographs or holes than {workdirs[0]}; "
                             "evaluate both on the same ones")
        for name, config in other.configs.items():
            changed = [line for line in config_lib.differences(first.configs[name], config)
                       if not line.startswith("config.seed:")]
            if changed:
                raise InputError(f"{workdir / name}: differs from {workdirs[0] / name} in more than the seed "
                                 f"({changed[0]}); give comparisons of one config")


def _times(path: Path) -> Times:
    try:
        return timing.from_json(_json(path))
    except (KeyError, TypeError, ValueError, AttributeError) as reason:
        raise InputError(f"{path}: has no times ({reason!r}); run mai compare again") from reason


def series(log: Log, name: str) -> list[tuple[float, float]]:
    """Return the logged (step, value) pairs of one scalar."""
    return [(line["step"], line[name]) for line in log if name in line]


def seconds(log: Log) -> float:
    """Return the time of all steps by the logged speeds, which exclude pauses between starts and the compilation."""
    speeds = [(0.0, math.inf), *series(log, "speed/steps_per_second")]
    return sum((step - before) / speed for (before, _), (step, speed) in itertools.pairwise(speeds))


def read_log(path: Path) -> Log:
    """Return the scalars of a log by line, with non-finite values as floats. Raises InputError if it is invalid."""
    return [line for line in training_log.read(path) if training_log.EVENT not in line]


def _json(path: Path) -> dict[str, Any]:
    return _object(_read(path), path)


def _object(text: bytes, path: Path) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as reason:
        raise InputError(f"{path}: is no JSON ({reason}); run mai compare again") from reason
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds {values!r} instead of a JSON object; run mai compare again")
    return values


def _read(path: Path) -> bytes:
    try:
        return read_file(path)
    except OSError as reason:
        raise InputError(f"{path}: cannot be read ({reason.strerror}); mai compare writes it") from reason
