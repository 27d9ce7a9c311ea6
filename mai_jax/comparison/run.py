"""From a config to the tables: train, measure, time, write down."""

import json
import logging
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mai_jax.comparison import entrants as entrants_lib
from mai_jax.comparison import figure, page, timing
from mai_jax.comparison.entrants import Entrant
from mai_jax.comparison.paper import Paper
from mai_jax.config import Config
from mai_jax.evaluation import report, subject
from mai_jax.evaluation.classical import METHODS
from mai_jax.evaluation.protocols import PROTOCOLS
from mai_jax.evaluation.runner import Judge, Record
from mai_jax.files import write_whole
from mai_jax.training.loop import train
from mai_jax.types import InputError

log = logging.getLogger(__name__)

PROTOCOL, FLOOR = "default", "mean_colour"
TABLES, TIMES, FIGURE = "tables.md", "table5.json", "comparison.png"


def compare(config: Config, names: Sequence[str], workdir: Path, paper: Paper) -> signal.Signals | None:
    """Trains every method of `names` (see `variants`) under `config` in a folder of its own below `workdir`, and writes
    tables.md, table5.json and comparison.png.

    Called again it trains what is left, and measures all anew. Returns the signal that ended the training early, or
    None. Raises RunError.
    """
    entrants = entrants_lib.enter(config, names, workdir)
    for i, entrant in enumerate(entrants, 1):
        log.info("%s, method %d of %d", entrant.title, i, len(entrants))
        if entrant.finished():
            log.info("all %d steps are done", entrant.config.total_steps)
        elif ended_by := train(entrant.config, entrant.workdir):
            return ended_by
    records, result, painted = _measure(entrants)
    times = timing.measure(entrants)
    tables = page.markdown(entrants, result, records, times, paper, FIGURE)
    files = {
        FIGURE: painted,
        TIMES: json.dumps(times.as_json(), indent=2).encode() + b"\n",
        TABLES: tables.encode(),
    }
    for name, content in files.items():
        write_whole(workdir / name, content)
    log.info("\n%s\nwritten to %s: %s", tables, workdir, ", ".join(files))
    return None


def _measure(entrants: Sequence[Entrant]) -> tuple[list[Record], dict[str, Any], bytes]:
    """Evaluates every method into its folder. The records of all together, how they came about, and the figure."""
    judge = Judge(PROTOCOLS[PROTOCOL])
    subjects = [subject.checkpoint(entrant.workdir)._replace(name=entrant.title) for entrant in entrants]
    for entrant, measured in zip(entrants, subjects, strict=True):
        report.write(measured, entrant.workdir, PROTOCOL, judge, {FLOOR: METHODS[FLOOR]})
    records, result = joined([entrant.workdir for entrant in entrants])
    return records, result, figure.draw(subjects, judge.protocol, records)


def joined(folders: Sequence[Path]) -> tuple[list[Record], dict[str, Any]]:
    """The records of evaluations on the same pairs as one, the floor's row the last. Raises InputError."""
    records, result = report.join(folders, PROTOCOL)
    if not all(FLOOR in record for record in records):
        raise InputError(f"{folders[0] / report.RECORDS}: has no numbers of {FLOOR}; evaluate again")
    for record in records:
        record[FLOOR] = record.pop(FLOOR)
    return records, result
