"""Draw the curves of one or several trainings: losses, validation, learning rate, speed.

    mai plot runs/places2
    mai plot runs/tables/mai runs/tables/pconv --output=curves

Writes curves.html, one page that needs no network, and curves.svg, from the runs' log.jsonl; a run may be in progress.
"""

import argparse
import logging
from pathlib import Path

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", nargs="+", metavar="DIR", help="folders of runs")
    parser.add_argument("--output", metavar="DIR", help="folder of the two files; default: the first run's")


def run(given: argparse.Namespace) -> None:
    from mai_jax.evaluation.report import training_page

    folders = [Path(folder) for folder in given.folders]
    written = training_page.write(folders, Path(given.output or folders[0]))
    log.info("written: %s", ", ".join(map(str, written)))
