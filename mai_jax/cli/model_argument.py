"""The flag --model of the commands that use a model: a name, a folder, or a classical method."""

import argparse
from typing import TYPE_CHECKING

from mai_jax import packaged_models
from mai_jax.errors import InputError

if TYPE_CHECKING:
    from mai_jax.inference import Inpainter

# Methods without training, of evaluation/classical.py, which is slow to import.
CLASSICAL = {
    "telea": "small holes and scratches; no training, fast",
    "navier_stokes": "small holes and scratches; no training, fast",
    "biharmonic": "small holes in smooth surroundings; no training, slow",
}


def add_model(
    parser: argparse.ArgumentParser, alias: str, *, dest: str = "model", classical: bool = True, default: bool = True
) -> None:
    """Add --model; `alias` is an older name of the flag. Without `classical` it is required and takes no such method.

    `default` selects the model in the package if the flag is not given.
    """
    meaning = "a name that `mai models` lists, or a folder that training or `mai models pack` wrote"
    if not classical:
        meaning = meaning.replace("lists", "lists, except a classical method")
    elif default:
        meaning += f"; default: {packaged_models.NAME}, the model in the package"
    else:
        meaning += "; no default"
    parser.add_argument("--model", alias, dest=dest, metavar="NAME|DIR", required=not classical, help=meaning,
                        default=packaged_models.NAME if classical and default else None)


def open_inpainter(given: argparse.Namespace) -> "Inpainter":
    """Return what fills holes with the model of --model. Raises InputError."""
    model = given.model
    if model in CLASSICAL:
        if given.step is not None:
            raise InputError(f"--model={model}: has no steps; leave out --step")
        from mai_jax.evaluation.classical_inpainter import ClassicalInpainter

        return ClassicalInpainter(model)
    from mai_jax.inference import Inpainter

    return Inpainter.from_pretrained(model, given.step)
