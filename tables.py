"""Trains the paper's methods on one budget and writes its Tables 4 and 5 and a comparison figure.

python tables.py --config=configs/quickstart.py --workdir=runs/tables

Starting the same command again trains what is left. `--config.<field>=...` overrides a setting, of all methods alike.
"""

import signal
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from mai_jax import command
from mai_jax.comparison import paper
from mai_jax.comparison.run import compare
from mai_jax.models import TITLES
from mai_jax.types import InputError
from mai_jax.variants import VARIANTS

CONFIG = config_flags.DEFINE_config_file("config", help_string="A file of configs/, e.g. configs/quickstart.py.")
WORKDIR = flags.DEFINE_string("workdir", None, "Where runs and tables go; runs/<config>_tables by default.")
PAPERS = [name for name in TITLES if name in VARIANTS]
METHODS = flags.DEFINE_list("methods", PAPERS, "Who is compared, in this order: names of mai_jax/variants.py.")
DOCS = Path(__file__).parent / "docs"


def main() -> int:
    config = command.config(CONFIG)
    dataset, method = command.named(CONFIG)
    if method:
        raise InputError(f"--config=...:{method}: the methods are named by --methods={method},...; leave it out here")
    workdir = Path(WORKDIR.value or f"runs/{dataset}_tables")
    ended_by = compare(config, METHODS.value, workdir, paper.read(DOCS, dataset))
    return 130 if ended_by == signal.SIGINT else 0


if __name__ == "__main__":
    command.run(main)
