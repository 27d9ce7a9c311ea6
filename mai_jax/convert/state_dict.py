"""The state dicts of a public implementation, consumed tensor by tensor."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from mai_jax.errors import InputError

FIX = "give the public implementation's own file of this network, unchanged"


class Source(NamedTuple):
    """A file that a flag of the command takes."""

    network: str  # as the converter names it
    file: str  # its authors' name for it
    required: bool = True  # False: a discriminator, which prediction does not need
    within: tuple[str, ...] = ()  # what its tensors' names may start with in a file of several networks


class Tensors:
    """One network's state dict; every tensor is taken from it once.

    Error messages name it with `where`. All methods raise InputError. If the names of some tensors start with an entry
    of `within`, these are the network's, without that start, and the others are not.
    """

    def __init__(self, where: str, tensors: Mapping[str, np.ndarray], within: tuple[str, ...] = ()) -> None:
        self.where, self._rest = where, dict(tensors)
        for start in within:
            if own := {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}:
                self._rest = own

    def __contains__(self, name: str) -> bool:
        return name in self._rest

    def width(self, *names: str) -> int:
        """Return the length of the first axis of the first of these tensors that is present."""
        for name in names:
            if name in self._rest and self._rest[name].ndim > 0:
                return len(self._rest[name])
        raise self._missing(names[0])

    def take(self, shape: tuple[int, ...], *names: str) -> Float32[np.ndarray, "..."]:
        """Return the tensor of these names as float32 and remove it; if it has several names, its values must agree.

        Raises InputError if it is missing, has another shape or is not finite, or if its values differ.
        """
        found = {name: self._rest.pop(name) for name in names if name in self._rest}
        if not found:
            raise self._missing(names[0])
        for name, value in found.items():
            if value.shape != shape:
                raise InputError(f"{self.where}: tensor {name} has shape {value.shape}, not {shape}; {FIX}")
            if not np.isfinite(value).all():
                raise InputError(f"{self.where}: tensor {name} holds values that are not finite; {FIX}")
        first, *others = found
        for name in others:
            if not np.array_equal(found[name], found[first]):
                raise InputError(f"{self.where}: tensors {first} and {name} must be equal but differ; {FIX}")
        return found[first].astype(np.float32)

    def ignore(self, name: str) -> None:
        """Remove a tensor that may be present and is not needed."""
        self._rest.pop(name, None)

    def finish(self) -> None:
        """Raise InputError if a tensor is left."""
        for name in sorted(self._rest):
            raise InputError(f"{self.where}: tensor {name!r} is unknown; {FIX}")

    def _missing(self, name: str) -> InputError:
        return InputError(f"{self.where}: tensor {name} is missing; {FIX}")
