"""A classical method in the place of a trained model: photographs of any size, 8 or 16 bits."""

from typing import Any, NoReturn

import numpy as np
from jaxtyping import Bool

from mai_jax.errors import InputError
from mai_jax.evaluation.classical import METHODS
from mai_jax.inference.accepted_inputs import as_arrays
from mai_jax.inference.inpainter import Inpainter
from mai_jax.inference.tiling import Pixels

MARGIN = 32  # pixels around the hole that a method sees; it reads three
# The equations of a larger hole take more than about 3 s and 500 MB for each 100,000 pixels.
MAX_BIHARMONIC = 250_000  # pixels of the hole


class ClassicalInpainter(Inpainter):
    """A method of `classical.METHODS`, for filling photographs only: it has no variables and no windows."""

    def __init__(self, method: str) -> None:
        self.method = method

    def __call__(self, image: Any, hole: Any) -> Pixels:
        """Return the photograph with its hole filled; the arguments are those of `Inpainter`.

        Pixels outside the hole are returned bit for bit. Raises InputError for inputs of another kind, and for a hole
        that is too large for the biharmonic equation.
        """
        image, hole = as_arrays(image, hole)
        filled = image.copy()
        if not hole.any():
            return filled
        if self.method == "biharmonic" and (pixels := int(hole.sum())) > MAX_BIHARMONIC:
            raise InputError(f"the hole has {pixels:,} pixels; biharmonic is for at most {MAX_BIHARMONIC:,}; take "
                             "telea, or a trained model")
        rows, columns = (np.flatnonzero(hole.any(axis)) for axis in (1, 0))
        box = tuple(slice(max(i[0] - MARGIN, 0), i[-1] + MARGIN + 1) for i in (rows, columns))
        filled[box] = METHODS[self.method](image[box], hole[box])
        return filled

    @property
    def description(self) -> str:
        """What fills the holes, for users."""
        return f"{self.method.replace('_', ' ')}, a classical method without training"

    def plan(self, hole: Bool[np.ndarray, "h w"]) -> NoReturn:
        """Raise InputError: there are no windows, and no attention in them."""
        raise InputError(f"{self.method} has no attention to show")
