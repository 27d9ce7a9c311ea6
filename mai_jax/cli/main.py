"""The console command `mai`: training, evaluating and using the Multistage Attention Network for image inpainting.

    mai train --config=quickstart
    mai evaluate --workdir=runs/quickstart
    mai inpaint --model=runs/quickstart --image=photo.jpg --mask=mask.png --output=filled.jpg
"""

import importlib
import sys
from collections.abc import Sequence
from types import ModuleType

import mai_jax
from mai_jax.cli import app
from mai_jax.cli.arguments import Parser
from mai_jax.errors import InputError

# Each command is a module of this package with `add_arguments(parser)` and `run(given) -> exit code or None`. It is
# imported when it is called and imports JAX when it runs, so that help is printed at once.
COMMANDS = {
    "train": "train a method",
    "evaluate": "measure a checkpoint, or any program's results",
    "results": "list evaluations with their means",
    "log": "print the log of a training",
    "plot": "draw the curves of trainings",
    "sweep": "train all combinations of some settings",
    "compare": "train several methods and write tables of them",
    "inpaint": "fill the holes of photographs",
    "demo": "serve a web page that fills holes",
    "doctor": "check data, disk, memory and speed before training",
    "convert": "convert the weights of public PyTorch implementations",
    "models": "list, fetch and pack models",
    "export": "write a trained method as StableHLO, ONNX or weights for PyTorch",
    "masks": "draw, list or extract a benchmark of masks",
    "config": "print every field of a config",
}
HELP, VERSION = ("-h", "--help"), "--version"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `mai` with these arguments, by default those of the process, and return the exit code (see `app.Outcome`)."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments and arguments[0] in HELP:
        print(overview())
        return 0
    if VERSION in arguments[:2]:  # also of a command, and so of a script such as inpaint.py
        print(f"mai_jax {mai_jax.__version__}")
        return 0
    with app.command() as outcome:
        if not arguments:
            raise InputError(f"no command; there are {', '.join(COMMANDS)}; see mai --help")
        name, *rest = arguments
        if name not in COMMANDS:
            raise InputError(f"{name!r}: no such command; there are {', '.join(COMMANDS)}; see mai --help")
        outcome.exit_code = _load(name).run(parser_of(name).parse(rest)) or 0
    return outcome.exit_code


def overview() -> str:
    """Return the help of `mai` itself."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {meaning}" for name, meaning in COMMANDS.items()]
    head = f"usage: mai COMMAND ...\n\n{__doc__.strip()}\n\ncommands (their flags: mai COMMAND --help; mai --version):"
    return "\n".join([head, *lines])


def parser_of(name: str) -> Parser:
    """Return the parser of a command."""
    command = _load(name)
    parser = Parser(prog=f"mai {name}", description=command.__doc__)
    command.add_arguments(parser)
    return parser


def _load(name: str) -> ModuleType:
    return importlib.import_module(f"mai_jax.cli.{name}")
