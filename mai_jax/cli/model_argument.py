"""The flag --model of the commands that use a model: a name, a folder, or a classical method."""

import argparse
from typing import TYPE_CHECKING

from mai_jax.errors import InputError

if TYPE_CHECKING:
    from mai_jax.inference import Inpainter

# Methods without training, of evaluation/classical.py, which is slow to import.
CLASSICAL = {
    "telea": "small holes and scratches; no training, fast",
    "navier_stokes": "small holes and scratches; no training, fast",
    "biharmonic": "small holes in smooth surroundings; no training, slow",
}
MISSING = ("no model: give --model=DIR, a folder that training wrote, or --model=NAME: lama for photographs "
           "(`mai models get lama` fetches it once), or telea, navier_stokes or biharmonic, which need no training and "
           "suit small holes; `mai models` lists all")  # fmt: skip


def add_model(
    parser: argparse.ArgumentParser, alias: str, *, dest: str = "model", classical: bool = True
) -> None:
    """Add --model; `alias` is an older name of the flag. With `classical`, `required` checks that it is given."""
    kinds = "a name that `mai models` lists, or a folder that training or `mai models pack` wrote"
    if not classical:
        kinds = kinds.replace("lists", "lists, except a classical method")
    parser.add_argument("--model", alias, dest=dest, metavar="NAME|DIR", required=not classical,
                        help=f"{kinds}; no default" if classical else kinds)


def required(given: argparse.Namespace) -> str:
    """Return the value of --model. Raises InputError if it is not given."""
    if given.model is None:
        raise InputError(MISSING)
    return given.model


def open_inpainter(given: argparse.Namespace) -> "Inpainter":
    """Return what fills holes with the model of --model. Raises InputError."""
    model = required(given)
    if model in CLASSICAL:
        if given.step is not None:
            raise InputError(f"--model={model}: has no steps; leave out --step")
        from mai_jax.evaluation.classical_inpainter import ClassicalInpainter

        return ClassicalInpainter(model)
    from mai_jax.inference import Inpainter

    return Inpainter.from_pretrained(model, given.step)
