"""The words that every file uses.

Images are float32 RGB in [0, 1], channels last. The word "mask" ends at the border of the package: inside, `known` is
{0, 1} with 1 = pixel given, and `hole = 1 - known`.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

HEAD, TAIL = 800, 300  # characters that are shown of a message that quotes too much


def printable(text: str) -> str:
    """The text with an escape for every character that a terminal would act on or cannot show, but for newlines."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


class RunError(Exception):
    """The command cannot go on. The message is one line for its user: what happened, where, how to go on.

    It may quote names and values that others chose: what cannot be printed of them, newlines too, becomes an escape.
    """

    def __init__(self, message: str) -> None:
        line = printable(message).replace("\n", "\\n")
        short = len(line) <= HEAD + TAIL + 5
        super().__init__(line if short else f"{line[:HEAD]} ... {line[-TAIL:]}")


class InputError(RunError):
    """Something the user gave cannot be used. The message is one line that names it and says how to mend it."""


class Batch(NamedTuple):
    """Photographs and which of their pixels are given.

    `image` is the whole truth in [0, 1], `known` is {0, 1}; a model may look at `image` only where `known` is 1, a loss
    anywhere.
    """

    image: Float[Array, "b h w 3"]
    known: Float[Array, "b h w 1"]


class Masked(NamedTuple):
    """A feature map and the positions at which it may be trusted: the mask as explicit state.

    What `x` holds where `known` is 0 has no meaning and is never read.
    """

    x: Float[Array, "b h w c"]
    known: Float[Array, "b h w 1"]


class Completion(NamedTuple):
    """What a network made of a batch.

    `raw` is painted everywhere and not clipped; `image` is `complete(raw, batch)`; `aux` holds named intermediates
    (attention maps, features) that jit drops when nobody reads them.
    """

    raw: Float[Array, "b h w 3"]
    image: Float[Array, "b h w 3"]
    aux: dict[str, Any]


def complete(raw: Float[Array, "b h w 3"], batch: Batch) -> Float[Array, "b h w 3"]:
    """The given pixels of `batch`, bit for bit, with `raw` in the hole."""
    return jnp.where(batch.known > 0, batch.image, raw)
