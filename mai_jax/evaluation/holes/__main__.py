"""Sets of holes that can be published.

    python -m mai_jax.evaluation.holes make --output=DIR --size=256 --per-bin=100 --seed=0
    python -m mai_jax.evaluation.holes bin DIR

`make` draws a set: the same command gives the same bytes on any machine. `bin` lists the mask files that a folder holds
already, by their share of hole, and copies nothing. Both write a manifest (see `manifest`), last and whole.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from mai_jax import subcommands
from mai_jax.config import Config
from mai_jax.evaluation.holes import indexing, making


def _parser() -> subcommands.Parser:
    def numbers(text: str) -> tuple[float, ...]:
        return tuple(float(number) for number in text.split(","))

    default = Config()
    parser = subcommands.Parser(prog="python -m mai_jax.evaluation.holes", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="make|bin")
    making = commands.add_parser("make", help="draw a set")
    making.add_argument("--output", type=Path, required=True, help="an empty folder, or a new one")
    making.add_argument("--size", type=int, default=default.image_size, help="pixels on a side")
    making.add_argument("--per-bin", type=int, required=True, help="holes on the border, and as many not, of each bin")
    making.add_argument("--seed", type=int, default=0)
    binning = commands.add_parser("bin", help="list a folder of mask files")
    binning.add_argument("folder", metavar="DIR")
    binning.add_argument("--output", type=Path, help="the manifest; DIR/manifest.jsonl by default")
    binning.add_argument("--size", type=int, help="pixels on a side to which masks are resized; as they are by default")
    binning.add_argument("--mask-means", choices=["hole", "known"], default="hole", help="what white means")
    for command in (making, binning):
        command.add_argument("--edges", type=numbers, default=default.evaluation.edges, help="of the bins: .1,.2,.3")
    return parser


def main(arguments: Sequence[str]) -> int:
    def chosen() -> None:
        given = vars(_parser().parse_args(arguments))
        {"make": making.make, "bin": indexing.index}[given.pop("command")](**given)

    return subcommands.run(chosen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
