"""Print the log of a training: one line per logged step, or all scalars as CSV.

    mai log runs/places2
    mai log runs/places2 --csv > places2.csv

Lines have the total losses, validation, learning rate and speed; CSV has a column for every scalar.
"""

import argparse
import os
import sys
from pathlib import Path

from mai_jax.cli.arguments import Switch

DIGITS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="folder of a run")
    parser.add_argument("--csv", action=Switch, help="print all scalars as CSV")


def run(given: argparse.Namespace) -> None:
    from mai_jax.training import training_log

    lines = training_log.read(Path(given.folder))
    try:
        print(training_log.to_csv(lines) if given.csv else text(training_log.by_step(lines)), end="", flush=True)
    except BrokenPipeError:  # the reader has ended, as in `mai log DIR | head`: drop the rest, which exit would flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def text(lines: list[dict]) -> str:
    """Return one line per step."""
    shown = []
    for line in lines:
        scalars = [f"{name} {value:.{DIGITS}g}" for name, value in line.items() if _is_main(name)]
        shown.append("  ".join([f"step {line['step']:.0f}", *scalars, *filter(None, [line.get("event")])]))
    return "".join(f"{line}\n" for line in shown)


def _is_main(name: str) -> bool:
    return name.endswith("/total") or name.startswith("validation/") or name in ("learning_rate",
                                                                               "speed/steps_per_second")
