"""List the evaluations below a folder, with their means.

    mai results runs/places2
    mai results runs

One row per evaluation that `mai evaluate` or `mai compare` wrote: its folder, method, step of the checkpoint, protocol,
number of pairs, and the means over all pairs inside the hole ratio bins.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="folder of a run, or one above several")


def run(given: argparse.Namespace) -> None:
    from mai_jax.evaluation.report import listing

    print(listing.table(Path(given.folder)))
