"""From where in the photograph each filled pixel was taken: the scores of Eq. 8, carried from the windows to the photo.

A stage of attention sees a window in cells of several pixels each way; all pixels of a cell share their sources. Only
the cells of the hole are asked, some at a time, so memory beyond the answer is small whatever the photograph's size.
"""

from functools import partial
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int, Int32

from mai_jax.inference.inpainter import Inpainter
from mai_jax.inference.windows import Pixels, Plan, Window
from mai_jax.types import InputError, Masked

TOGETHER = 64  # cells that are asked at once
NOWHERE = -1


class Provenance(NamedTuple):
    """Where one stage of attention took each pixel of the hole from.

    `source` is the row and column, in pixels of the photo, of the middle of the background cell that gave most;
    (-1, -1) outside the hole and where there is no background. `share`, in [0, 1], is how much of all that the pixel
    was given came from that cell; 0 where there is no source.
    """

    source: Int32[np.ndarray, "h w 2"]
    share: Float32[np.ndarray, "h w"]


class Heat(NamedTuple):
    """How much each cell of a window gave to one pixel.

    `weights` sum to 1, or are all 0 without any background. Cell (i, j) covers `cell` x `cell` pixels of the photo,
    the first of them in row top + i * cell and column left + j * cell. What lies beyond the photo's border gave 0.
    """

    top: int
    left: int
    cell: int
    weights: Float32[np.ndarray, "n n"]


def trace(inpainter: Inpainter, image: Pixels, hole: Bool[np.ndarray, "h w"]) -> dict[str, Provenance]:
    """The strongest source of each pixel of the hole, by stage of attention ("attention_1" is the coarsest).

    Where windows overlap, that of the window whose edge is furthest. An empty hole has no stages. Raises InputError for
    a method without attention.
    """
    plan = inpainter.plan(hole)
    owners = _owners(plan, hole)
    found: dict[str, Provenance] = {}
    for number, window in enumerate(plan.windows):
        inside = window.inside(*hole.shape)
        asked = owners[inside] == number
        for stage, features in _attended(inpainter, image, hole, window).items():
            nothing = Provenance(np.full((*hole.shape, 2), NOWHERE, np.int32), np.zeros(hole.shape, np.float32))
            whole = found.setdefault(stage, nothing)
            _carry(Provenance(*(part[inside] for part in whole)), asked, window, features, _constants(inpainter))
    return dict(sorted(found.items()))


def sources(
    inpainter: Inpainter, image: Pixels, hole: Bool[np.ndarray, "h w"], row: int, column: int
) -> dict[str, Heat]:
    """All sources of one pixel of the hole, by stage of attention.

    Raises InputError for a method without attention and for a pixel outside the hole.
    """
    h, w = hole.shape
    if not (0 <= row < h and 0 <= column < w and hole[row, column]):
        raise InputError(f"row {row}, column {column}: was not filled; choose a pixel of the hole")
    plan = inpainter.plan(hole)
    window = plan.windows[_owners(plan, hole)[row, column]]
    heats = {}
    for stage, features in sorted(_attended(inpainter, image, hole, window).items()):
        cell = _cell(window, features)
        at = np.array([[(row - window.top) // cell, (column - window.left) // cell]])
        heats[stage] = Heat(window.top, window.left, cell, np.asarray(shares(features, at, *_constants(inpainter))[0]))
    return heats


@partial(jax.jit, static_argnames=("scale", "window"))
def shares(
    features: Masked, at: Int[Array | np.ndarray, "q 2"], scale: float, window: int
) -> Float[Array, "q n n"]:
    """How much each background position gives to the positions `at`: `nn.attention.scores` of Eq. 8, made to sum to 1.

    All 0 without any background. `features` have a batch axis of 1; of the scores only those asked for are computed.
    """
    x, known = features.x[0].astype(jnp.float32), features.known[0, ..., 0] > 0
    unit = x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-6)
    keys = jnp.where(known[..., None], unit, 0)
    n, k = len(x), window // 2

    def shifted(i: int, j: int) -> Float[Array, "q n n"]:
        asking = at + jnp.array([i, j])
        inside = ((asking >= 0) & (asking < n)).all(-1)
        similarity = jnp.einsum("qc,uvc->quv", unit[*jnp.clip(asking, 0, n - 1).T], keys)  # Eq. 6
        weights = jax.nn.softmax(scale * similarity, axis=(1, 2), where=known)  # Eq. 7
        padded = jnp.pad(weights * inside[:, None, None], ((0, 0), (k, k), (k, k)))
        return padded[:, k + i : k + i + n, k + j : k + j + n]

    given = known * sum(shifted(i, j) for i, j in product(range(-k, k + 1), repeat=2))  # Eq. 8
    total = given.sum((1, 2), keepdims=True)
    return given / jnp.where(total > 0, total, 1)


@partial(jax.jit, static_argnames=("scale", "window"))
def _strongest(
    features: Masked, at: Int[Array | np.ndarray, "q 2"], scale: float, window: int
) -> tuple[Int[Array, "q 2"], Float[Array, "q"]]:
    """The position with the largest share for each of the positions `at`, and that share."""
    given = shares(features, at, scale, window)
    flat = given.reshape(len(at), -1)
    return jnp.stack(jnp.divmod(flat.argmax(1), given.shape[2]), axis=1), flat.max(1)


def _carry(
    found: Provenance, asked: Bool[np.ndarray, "wh ww"], window: Window, features: Masked, constants: tuple[float, int]
) -> None:
    """Writes the sources of the pixels `asked` into `found`; both are the part of the photo inside the window."""
    n, cell = features.x.shape[1], _cell(window, features)
    rows, columns = ((np.arange(length) - min(start, 0)) // cell
                     for length, start in zip(asked.shape, (window.top, window.left), strict=True))
    wanted = np.zeros((n, n), bool)
    i, j = np.nonzero(asked)
    wanted[rows[i], columns[j]] = True
    at = np.argwhere(wanted)

    source, share = np.full((n, n, 2), NOWHERE, np.int32), np.zeros((n, n), np.float32)
    for start in range(0, len(at), TOGETHER):
        cells = at[start : start + TOGETHER]
        together = np.resize(cells, (TOGETHER, 2))  # always as many, so that one program does
        best, part = (np.asarray(each)[: len(cells)] for each in _strongest(features, together, *constants))
        middle = np.array([window.top, window.left]) + best * cell + cell // 2
        source[*cells.T] = np.where(part[:, None] > 0, middle, NOWHERE)
        share[*cells.T] = part
    found.source[i, j] = source[rows[i], columns[j]]
    found.share[i, j] = share[rows[i], columns[j]]


def _attended(
    inpainter: Inpainter, image: Pixels, hole: Bool[np.ndarray, "h w"], window: Window
) -> dict[str, Masked]:
    attended = inpainter.attended(image, hole, window)
    if not attended:
        raise InputError(f"method {inpainter.config.method} has no attention to show")
    return attended


def _constants(inpainter: Inpainter) -> tuple[float, int]:
    """Lambda of Eq. 7 and the side of the neighbourhood of Eq. 8."""
    return inpainter.config.generator.attention_scale, inpainter.config.generator.attention_window


def _cell(window: Window, features: Masked) -> int:
    """Side of a cell in pixels of the photo."""
    return window.side // features.x.shape[1]


def _owners(plan: Plan, hole: Bool[np.ndarray, "h w"]) -> Int32[np.ndarray, "h w"]:
    """Which of the windows painted each pixel of the hole; where several blend, the one whose edge is furthest."""
    owners, furthest = np.full(hole.shape, NOWHERE, np.int32), np.zeros(hole.shape, np.int32)
    for number, window in enumerate(plan.windows):
        inside = window.inside(*hole.shape)
        to_edge = (np.minimum(i - start, start + window.side - 1 - i) + 1
                   for i, start in zip((np.arange(part.start, part.stop) for part in inside), window[:2], strict=True))
        depth = np.minimum.outer(*to_edge) * plan.answers(window, hole)
        owners[inside] = np.where(depth > furthest[inside], number, owners[inside])
        furthest[inside] = np.maximum(depth, furthest[inside])
    return owners
