"""A trained method for other programs.

    python -m mai_jax.inference export --checkpoint=DIR --output=FILE.stablehlo
    python -m mai_jax.inference export --checkpoint=DIR --output=FILE.onnx --size=512

`export` writes one file that runs without this package (see `export`).
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from mai_jax.inference.export import export
from mai_jax.types import InputError, RunError


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        raise InputError(f"{message}; see --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m mai_jax.inference", description=__doc__,
                     formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="export")
    exporting = commands.add_parser("export", help="write one file for other programs", allow_abbrev=False)
    exporting.add_argument("--checkpoint", type=Path, required=True, metavar="DIR", help="the folder of the training")
    exporting.add_argument("--output", type=Path, required=True, metavar="FILE", help="ends in .stablehlo or .onnx")
    exporting.add_argument("--step", type=int, help="the checkpoint's step; the newest by default")
    exporting.add_argument("--size", type=int,
                           help="pixels on a side; by default open in StableHLO and image_size in ONNX")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Exit codes as all commands': 0 done, 1 one line on stderr says what is wrong, 130 Ctrl-C."""
    logging.basicConfig(format="%(message)s", stream=sys.stdout, force=True)  # libraries set it up on import
    logging.getLogger("mai_jax").setLevel(logging.INFO)
    try:
        given = _parser().parse_args(arguments)
        export(given.checkpoint, given.output, given.step, given.size)
    except RunError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # of writing: a full disk, a folder that may not be written to
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
