"""A trained method for other programs.

    python -m mai_jax.inference export --checkpoint=DIR --output=FILE.stablehlo
    python -m mai_jax.inference export --checkpoint=DIR --output=FILE.onnx --size=512

`export` writes one file that runs without this package (see `export`).
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from mai_jax import subcommands
from mai_jax.inference.export import export


def _parser() -> subcommands.Parser:
    parser = subcommands.Parser(prog="python -m mai_jax.inference", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="export")
    exporting = commands.add_parser("export", help="write one file for other programs")
    exporting.add_argument("--checkpoint", type=Path, required=True, metavar="DIR", help="the folder of the training")
    exporting.add_argument("--output", type=Path, required=True, metavar="FILE", help="ends in .stablehlo or .onnx")
    exporting.add_argument("--step", type=int, help="the checkpoint's step; the newest by default")
    exporting.add_argument("--size", type=int,
                           help="pixels on a side; by default open in StableHLO and image_size in ONNX")
    return parser


def main(arguments: Sequence[str]) -> int:
    def chosen() -> None:
        given = _parser().parse_args(arguments)
        export(given.checkpoint, given.output, given.step, given.size)

    return subcommands.run(chosen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
