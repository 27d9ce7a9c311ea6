"""The comparison of several methods: train, evaluate, time, and write the tables."""

import json
import logging
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mai_jax.compare import methods as methods_lib
from mai_jax.compare import page, timing
from mai_jax.compare.methods import Method
from mai_jax.compare.paper import Paper
from mai_jax.config import Config
from mai_jax.errors import InputError
from mai_jax.evaluation import eval_target
from mai_jax.evaluation.classical import METHODS
from mai_jax.evaluation.evaluator import MetricSet, Record
from mai_jax.evaluation.protocols import PROTOCOLS
from mai_jax.evaluation.report import result_files
from mai_jax.files import write_atomically
from mai_jax.training.trainer import train

log = logging.getLogger(__name__)

PROTOCOL, BASELINE = "default", "mean_colour"
TABLES, TIMES, FIGURE = "tables.md", "table5.json", "comparison.png"


def compare(
    config: Config, names: Sequence[str], workdir: Path, paper: Paper, lpips_params: dict[str, Any] | None = None
) -> signal.Signals | None:
    """Train the methods `names` (of `mai_jax.variants`) and write tables.md, table5.json and comparison.png.

    Each method is trained under `config` in a subfolder of `workdir` named after it. A second call trains only what is
    unfinished and evaluates all methods again, with LPIPS if its parameters are given. Return the signal that
    interrupted the training, or None. Raises RunError if an input is unusable or a training cannot continue.
    """
    methods = methods_lib.make_methods(config, names, workdir)
    for i, method in enumerate(methods, 1):
        log.info("%s, method %d of %d", method.title, i, len(methods))
        if method.is_trained():
            log.info("all %d steps are done", method.config.total_steps)
        elif signal_number := train(method.config, method.workdir):
            return signal_number
    records, result, figure = _evaluate(methods, MetricSet(PROTOCOLS[PROTOCOL], lpips_params))
    times = timing.measure(methods)
    tables = page.markdown(methods, result, records, times, paper, FIGURE)
    files = {
        FIGURE: figure,
        TIMES: json.dumps(times.as_json(), indent=2).encode() + b"\n",
        TABLES: tables.encode(),
    }
    for name, content in files.items():
        write_atomically(workdir / name, content)
    log.info("\n%s\nwritten to %s: %s", tables, workdir, ", ".join(files))
    return None


def _evaluate(methods: Sequence[Method], metric_set: MetricSet) -> tuple[list[Record], dict[str, Any], bytes]:
    """Evaluate every method into its folder. Return the combined records, the result of the first, and the figure."""
    targets = [eval_target.checkpoint(method.workdir)._replace(name=method.title) for method in methods]
    for method, target in zip(methods, targets, strict=True):
        result_files.write(target, method.workdir, PROTOCOL, metric_set, {BASELINE: METHODS[BASELINE]})
    records, result = join([method.workdir for method in methods])
    return records, result, page.draw(targets, metric_set.protocol, records)


def join(folders: Sequence[Path]) -> tuple[list[Record], dict[str, Any]]:
    """Return the combined records of evaluations of the same pairs, with the baseline last, and the first result.

    Raises InputError if they cannot be combined.
    """
    records, result = result_files.join(folders, PROTOCOL)
    if not all(BASELINE in record for record in records):
        raise InputError(f"{folders[0] / result_files.RECORDS}: has no metrics of {BASELINE}; evaluate again")
    for record in records:
        record[BASELINE] = record.pop(BASELINE)  # moves it to the end
    return records, result
