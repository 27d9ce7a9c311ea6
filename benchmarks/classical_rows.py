"""The floor of any table: classical fillings of a folder of photographs at 256 px, one drawn hole per ratio bin.

python -m benchmarks.classical_rows DIR
"""

import sys

from mai_jax.config import Config, Data
from mai_jax.data import sources
from mai_jax.evaluation import runner, table4
from mai_jax.evaluation.classical import METHODS
from mai_jax.evaluation.pairs import PhotographPairs
from mai_jax.evaluation.protocols import PROTOCOLS
from mai_jax.evaluation.runner import Judge


def main(folder: str) -> None:
    config = Config(data=Data(train=folder, test=folder))
    pairs = PhotographPairs(sources.open_source(config.data, "test"), config)
    records = runner.measure(pairs, Judge(PROTOCOLS["default"]), lambda truth, hole: truth, METHODS, 8)
    for record in records:  # the truth stood in for a method: the mean colour takes its place
        record |= record.pop("mean_colour")
    print(table4.text(table4.table(records, config.evaluation.edges, "mean colour")))


if __name__ == "__main__":
    main(sys.argv[1])
