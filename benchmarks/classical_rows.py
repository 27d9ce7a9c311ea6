"""The metrics of the classical methods for a folder of photographs at 256 px, with one random hole per ratio bin.

python -m benchmarks.classical_rows DIR
"""

import sys

from mai_jax.cli import app
from mai_jax.cli.arguments import Parser
from mai_jax.config import Config, Data
from mai_jax.data import sources
from mai_jax.evaluation import evaluator
from mai_jax.evaluation.classical import METHODS
from mai_jax.evaluation.dataset import ImageEvalDataset
from mai_jax.evaluation.evaluator import MetricSet
from mai_jax.evaluation.protocols import PROTOCOLS
from mai_jax.evaluation.report import table4


def main() -> None:
    parser = Parser(prog="python -m benchmarks.classical_rows", description=__doc__)
    parser.add_argument("folder", metavar="DIR", help="folder of photographs")
    folder = parser.parse().folder
    config = Config(data=Data(train=folder, test=folder))
    pairs = ImageEvalDataset(sources.open_source(config.data, "test"), config)
    records = evaluator.evaluate(pairs, MetricSet(PROTOCOLS["default"]), lambda truth, hole: truth[None], METHODS, 8)
    for record in records:  # the primary method's metrics are those of the ground truth: replace them
        record |= record.pop("mean_colour")
    print(table4.text(table4.table(records, config.evaluation.edges, "mean colour")))


if __name__ == "__main__":
    sys.exit(app.run(main))
