"""What the files of a public implementation hold, taken tensor by tensor."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from mai_jax.types import InputError

MEND = "give the public implementation's own file of this network, unchanged"


class Source(NamedTuple):
    """A file that a flag of the command takes."""

    network: str  # as the converter names it
    file: str  # what its authors call it
    paints: bool = True  # False: it only judges in training, and may be left out


class Tensors:
    """One network's state dict, from which every tensor is taken once.

    `where` says in messages which one it is. All methods raise InputError.
    """

    def __init__(self, where: str, tensors: Mapping[str, np.ndarray]) -> None:
        self.where, self._left = where, dict(tensors)

    def width(self, *names: str) -> int:
        """How long the first of these tensors that is there is along its first axis."""
        for name in names:
            if name in self._left and self._left[name].ndim > 0:
                return len(self._left[name])
        raise self._missing(names[0])

    def take(self, shape: tuple[int, ...], *names: str) -> Float32[np.ndarray, "..."]:
        """The tensor of that name. It may be there under several names, and must then be the same under each."""
        found = {name: self._left.pop(name) for name in names if name in self._left}
        if not found:
            raise self._missing(names[0])
        for name, value in found.items():
            if value.shape != shape:
                raise InputError(f"{self.where}: tensor {name} has shape {value.shape}, not {shape}; {MEND}")
            if not np.isfinite(value).all():
                raise InputError(f"{self.where}: tensor {name} holds values that are not finite; {MEND}")
        first, *others = found
        for name in others:
            if not np.array_equal(found[name], found[first]):
                raise InputError(f"{self.where}: tensors {first} and {name} differ, though they are one; {MEND}")
        return found[first].astype(np.float32)

    def ignore(self, name: str) -> None:
        """A tensor that may be there and has no use here."""
        self._left.pop(name, None)

    def finish(self) -> None:
        """Nothing is left."""
        for name in sorted(self._left):
            raise InputError(f"{self.where}: tensor {name!r} is unknown; {MEND}")

    def _missing(self, name: str) -> InputError:
        return InputError(f"{self.where}: tensor {name} is missing; {MEND}")
