"""Train methods on one budget and write Tables 4 and 5 of the paper for them, with a comparison figure.

    mai compare --config=quickstart --workdir=runs/tables
    mai compare --config=places2 --methods=mai,mai_no_attention

The same command trains what is left. --config.FIELD=VALUE overrides a field for all methods alike.
"""

import argparse
import signal
from pathlib import Path

from mai_jax.cli import app, config_argument, lpips_flags
from mai_jax.cli.arguments import comma_list
from mai_jax.errors import InputError

METHODS = ("pic", "pconv", "edge_connect", "mai")  # the paper's, in the order of its tables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    config_argument.add_config(parser)
    parser.add_argument("--workdir", metavar="DIR", help="folder of runs and tables; default: runs/<config>_tables")
    parser.add_argument("--methods", type=comma_list, default=list(METHODS), metavar="NAME,...",
                        help="methods and ablations, in this order: names of mai_jax/variants.py")
    lpips_flags.add_lpips(parser)


def run(given: argparse.Namespace) -> int:
    config = config_argument.load(given)
    dataset, variant = config_argument.name_and_variant(given)
    if variant:
        raise InputError(f"--config=...:{variant}: the methods are named by --methods={variant},...; leave it out here")

    from mai_jax.compare import paper
    from mai_jax.compare.compare import compare

    app.enable_compilation_cache()
    workdir = Path(given.workdir or f"runs/{dataset}_tables")
    ended_by = compare(config, given.methods, workdir, paper.read(dataset), lpips_flags.load(given))
    return 130 if ended_by == signal.SIGINT else 0
