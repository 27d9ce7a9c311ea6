"""One stored frame of a file of several."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

Disposal = Literal["keep", "clear", "restore"]


@dataclass(frozen=True)
class Frame:
    """A frame as a file of one picture, and how it is painted on the canvas.

    `left` and `top` are its place. If it `replaces`, its transparent pixels replace those of the canvas, otherwise they
    leave them. `disposal` says what happens to its part of the canvas after it was shown. A page has its own canvas.
    """

    source: bytes
    left: int = 0
    top: int = 0
    replaces: bool = True
    disposal: Disposal = "keep"
    is_page: bool = False


class Frames(NamedTuple):
    """The frames of a file, in order, to be iterated over once, and their `number`.

    `size` is (height, width) of their canvas, unless they are pages.
    """

    format: str
    size: tuple[int, int]
    number: int
    frames: Iterable[Frame]
