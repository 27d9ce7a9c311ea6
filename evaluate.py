"""Measures a checkpoint on held-out photographs. `python evaluate.py --workdir=runs/places2`

Writes records.jsonl (one record per photograph and hole), table4.md and evaluation.png into the folder of the run.
"""

from pathlib import Path

from absl import flags

from mai_jax import command
from mai_jax.evaluation import report
from mai_jax.types import InputError

WORKDIR = flags.DEFINE_string("workdir", None, "The folder that training wrote.")
STEP = flags.DEFINE_integer("step", None, "The checkpoint's step; the newest by default.")
DATA = flags.DEFINE_string("data", None, "Other test photographs than the run's: a folder or a named source.")


def main() -> None:
    if WORKDIR.value is None:
        raise InputError("no workdir; give --workdir=DIR, the folder that training wrote")
    report.write(Path(WORKDIR.value), step=STEP.value, data=DATA.value)


if __name__ == "__main__":
    command.run(main)
