"""Runs of all combinations of some settings: trained one after the other, and listed in a table."""

import copy
import logging
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax

from mai_jax.config import Config
from mai_jax.errors import InputError, RunError
from mai_jax.files import write_atomically
from mai_jax.models import model_class
from mai_jax.training import checkpointing, continuation, training_log
from mai_jax.training.train_step import data_mesh
from mai_jax.training.trainer import check, train

log = logging.getLogger(__name__)

TABLE, SCRIPT = "sweep.md", "sweep.sh"
PREFIX = "validation/"

# As deploy/slurm_seeds.sh.
SLURM = """\
#!/bin/bash
# One run per task of a Slurm array, written by `mai sweep --slurm`; start it from the folder where that was called:
#
#     sbatch {path}
#
# Change the resources below to those of your cluster. Two minutes before the time limit the run saves and its task goes
# back into the queue, where it resumes. When all tasks are done, the same `mai sweep` without --slurm prints the table.
#SBATCH --job-name=mai_sweep
#SBATCH --array=0-{last}
#SBATCH --gpus=1 --cpus-per-task=16 --mem=64G --time=24:00:00
#SBATCH --signal=B:TERM@120 --requeue --open-mode=append
set -euo pipefail

case "$SLURM_ARRAY_TASK_ID" in
{cases}
esac
training=$!
ended_early=
trap 'ended_early=1; kill -TERM "$training"' TERM
wait "$training" || [ -n "$ended_early" ]
if [ -n "$ended_early" ]; then
  wait "$training"
  scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
fi
"""


class Combination(NamedTuple):
    """A run of a sweep: the values of the fields that differ, as text, its config and its folder."""

    values: Mapping[str, str]
    config: Config
    workdir: Path

    def is_trained(self) -> bool:
        """Return whether all steps are done. Raises InputError if the folder has a run with another config."""
        reader = continuation.latest(self.config, self.workdir)
        return reader is not None and reader.step == self.config.total_steps


def sweep(combinations: Sequence[Combination], workdir: Path) -> signal.Signals | bool:
    """Train every combination that is not finished, then write and log the table.

    A run that cannot continue, such as one whose loss is no number, is reported and the others go on. Return whether
    all are finished, or the signal that interrupted the training. Raises InputError if a config or an input is
    unusable: before the first training as far as possible.
    """
    for combination in combinations:
        check(combination.config, data_mesh())
        if not combination.is_trained():
            model_class(combination.config.method)(combination.config).prepare()
    problems: dict[Path, str] = {}
    for i, combination in enumerate(combinations, 1):
        log.info("%s, run %d of %d", combination.workdir.name, i, len(combinations))
        if combination.is_trained():
            log.info("all %d steps are done", combination.config.total_steps)
            continue
        try:
            if signal_number := train(copy.deepcopy(combination.config), combination.workdir):
                return signal_number
        except InputError:
            raise
        except RunError as error:
            log.error("%s", error)
            problems[combination.workdir] = str(error)
        jax.clear_caches()  # the compiled programs of a run, which no other uses
    table = _table(combinations)
    write_atomically(workdir / TABLE, f"{table}\n".encode())
    log.info("\n%s\n\nwritten to %s", table, workdir / TABLE)
    return not problems


def write_slurm_script(workdir: Path, commands: Sequence[str]) -> None:
    """Write a script for `sbatch` in which task i of an array runs `commands[i]`."""
    path = workdir / SCRIPT
    cases = "\n".join(f"  {i}) {command} & ;;" for i, command in enumerate(commands))
    workdir.mkdir(parents=True, exist_ok=True)
    write_atomically(path, SLURM.format(path=path, last=len(commands) - 1, cases=cases).encode())
    log.info("%d tasks in %s; start them with: sbatch %s", len(commands), path, path)


def _table(combinations: Sequence[Combination]) -> str:
    """Return a Markdown table: a row per run with its values, the steps that are done, and its last validation."""
    scalars = [_last_validation(combination.workdir) for combination in combinations]
    names = list(dict.fromkeys(name for of_run in scalars for name in of_run))
    rows = [["run", *combinations[0].values, "steps", *names]]
    for combination, of_run in zip(combinations, scalars, strict=True):
        done = max(checkpointing.steps(combination.workdir), default=0)
        rows.append([combination.workdir.name, *combination.values.values(),
                     f"{done} of {combination.config.total_steps}",
                     *(f"{of_run[name]:.5g}" if name in of_run else "-" for name in names)])
    rows.insert(1, [*("---" for _ in combinations[0].values), "---", "---", *("---:" for _ in names)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |"
                     for row in rows)


def _last_validation(workdir: Path) -> dict[str, float]:
    """Return the scalars of the newest validation of a run, by name; none without one."""
    if not (workdir / training_log.NAME).exists():
        return {}
    newest: dict[str, float] = {}
    for line in training_log.by_step(training_log.read(workdir)):
        newest |= {name.removeprefix(PREFIX): value for name, value in line.items() if name.startswith(PREFIX)}
    return newest
