"""The attention sources of each filled pixel: the scores of Eq. 8, mapped from the windows to the photograph.

An attention stage divides a window into cells of several pixels a side; all pixels of a cell share their sources. Only
the cells of the hole are queries, QUERIES at a time, so memory besides the result does not grow with the photograph.
"""

from functools import partial
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int, Int32

from mai_jax.batch import Masked
from mai_jax.errors import InputError
from mai_jax.inference.inpainter import Inpainter
from mai_jax.inference.tiling import Pixels, Plan, Window

QUERIES = 64  # per call
NO_SOURCE = -1


class Provenance(NamedTuple):
    """The strongest source of each pixel of the hole in one attention stage.

    `source` is the row and column, in pixels of the photograph, of the centre of the background cell with the largest
    attention weight; (-1, -1) outside the hole and where there is no background. `share`, in [0, 1], is the part of the
    total weight on that cell; 0 where there is no source.
    """

    source: Int32[np.ndarray, "h w 2"]
    share: Float32[np.ndarray, "h w"]


class Heatmap(NamedTuple):
    """The attention weights of all cells of a window for one pixel.

    `weights` sum to 1, or are all 0 without any background. Cell (i, j) covers `cell` x `cell` pixels of the
    photograph, the first of them in row top + i * cell and column left + j * cell. Cells outside the photograph have
    weight 0.
    """

    top: int
    left: int
    cell: int
    weights: Float32[np.ndarray, "n n"]


def trace(inpainter: Inpainter, image: Pixels, hole: Bool[np.ndarray, "h w"]) -> dict[str, Provenance]:
    """Return the strongest source of each pixel of the hole, by attention stage ("attention_1" is the coarsest).

    Where windows overlap, the window whose edge is furthest from the pixel counts. An empty hole has no stages. Raises
    InputError for a method without attention.
    """
    plan = inpainter.plan(hole)
    owners = _owners(plan, hole)
    traces: dict[str, Provenance] = {}
    for number, window in enumerate(plan.windows):
        inside = window.inside(*hole.shape)
        query = owners[inside] == number
        for stage, features in _attention_inputs(inpainter, image, hole, window).items():
            empty = Provenance(np.full((*hole.shape, 2), NO_SOURCE, np.int32), np.zeros(hole.shape, np.float32))
            trace_of_stage = traces.setdefault(stage, empty)
            view = Provenance(*(array[inside] for array in trace_of_stage))
            _write_sources(view, query, window, features, _constants(inpainter))
    return dict(sorted(traces.items()))


def sources(
    inpainter: Inpainter, image: Pixels, hole: Bool[np.ndarray, "h w"], row: int, column: int
) -> dict[str, Heatmap]:
    """Return the weights of all sources of one pixel of the hole, by attention stage.

    Raises InputError for a method without attention and for a pixel outside the hole.
    """
    h, w = hole.shape
    if not (0 <= row < h and 0 <= column < w and hole[row, column]):
        raise InputError(f"row {row}, column {column}: was not filled; choose a pixel of the hole")
    plan = inpainter.plan(hole)
    window = plan.windows[_owners(plan, hole)[row, column]]
    heatmaps = {}
    for stage, features in sorted(_attention_inputs(inpainter, image, hole, window).items()):
        cell = _cell(window, features)
        query = np.array([[(row - window.top) // cell, (column - window.left) // cell]])
        weights = np.asarray(shares(features, query, *_constants(inpainter))[0])
        heatmaps[stage] = Heatmap(window.top, window.left, cell, weights)
    return heatmaps


@partial(jax.jit, static_argnames=("scale", "window"))
def shares(
    features: Masked, queries: Int[Array | np.ndarray, "q 2"], scale: float, window: int
) -> Float[Array, "q n n"]:
    """Return `nn.attention.scores` (Eq. 8) of the positions `queries` (row, column), normalized to a sum of 1.

    All 0 without any background. `features` have a batch axis of 1. Only the rows of the queries are computed.
    """
    x, valid = features.x[0].astype(jnp.float32), features.valid[0, ..., 0] > 0
    unit = x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-6)
    keys = jnp.where(valid[..., None], unit, 0)
    n, k = len(x), window // 2

    def shifted(i: int, j: int) -> Float[Array, "q n n"]:
        q = jnp.array([i, j]) + queries
        inside = ((q >= 0) & (q < n)).all(-1)
        similarity = jnp.einsum("qc,uvc->quv", unit[*jnp.clip(q, 0, n - 1).T], keys)  # Eq. 6
        weights = jax.nn.softmax(scale * similarity, axis=(1, 2), where=valid)  # Eq. 7
        padded = jnp.pad(weights * inside[:, None, None], ((0, 0), (k, k), (k, k)))
        return padded[:, k + i : k + i + n, k + j : k + j + n]

    scores = valid * sum(shifted(i, j) for i, j in product(range(-k, k + 1), repeat=2))  # Eq. 8
    total = scores.sum((1, 2), keepdims=True)
    return scores / jnp.where(total > 0, total, 1)


@partial(jax.jit, static_argnames=("scale", "window"))
def _strongest(
    features: Masked, queries: Int[Array | np.ndarray, "q 2"], scale: float, window: int
) -> tuple[Int[Array, "q 2"], Float[Array, "q"]]:
    """Return the position with the largest share for each of `queries`, and that share."""
    weights = shares(features, queries, scale, window)
    flat = weights.reshape(len(queries), -1)
    return jnp.stack(jnp.divmod(flat.argmax(1), weights.shape[2]), axis=1), flat.max(1)


def _write_sources(
    trace: Provenance, query: Bool[np.ndarray, "wh ww"], window: Window, features: Masked, constants: tuple[float, int]
) -> None:
    """Write the sources of the pixels `query` into `trace`; both cover the part of the photograph in the window."""
    n, cell = features.x.shape[1], _cell(window, features)
    rows, columns = ((np.arange(length) - min(start, 0)) // cell
                     for length, start in zip(query.shape, (window.top, window.left), strict=True))
    is_query = np.zeros((n, n), bool)
    i, j = np.nonzero(query)
    is_query[rows[i], columns[j]] = True
    query_cells = np.argwhere(is_query)

    source, share = np.full((n, n, 2), NO_SOURCE, np.int32), np.zeros((n, n), np.float32)
    for start in range(0, len(query_cells), QUERIES):
        cells = query_cells[start : start + QUERIES]
        padded = np.resize(cells, (QUERIES, 2))  # a fixed number, so that one program is compiled
        best, weight = (np.asarray(result)[: len(cells)] for result in _strongest(features, padded, *constants))
        centre = np.array([window.top, window.left]) + best * cell + cell // 2
        source[*cells.T] = np.where(weight[:, None] > 0, centre, NO_SOURCE)
        share[*cells.T] = weight
    trace.source[i, j] = source[rows[i], columns[j]]
    trace.share[i, j] = share[rows[i], columns[j]]


def _attention_inputs(
    inpainter: Inpainter, image: Pixels, hole: Bool[np.ndarray, "h w"], window: Window
) -> dict[str, Masked]:
    features = inpainter.attention_inputs(image, hole, window)
    if not features:
        raise InputError(f"method {inpainter.config.method} has no attention to show")
    return features


def _constants(inpainter: Inpainter) -> tuple[float, int]:
    """Return the softmax factor lambda of Eq. 7 and the window size 2k + 1 of Eq. 8."""
    return inpainter.config.generator.attention_scale, inpainter.config.generator.attention_window


def _cell(window: Window, features: Masked) -> int:
    """Return the side of a cell in pixels of the photograph."""
    return window.side // features.x.shape[1]


def _owners(plan: Plan, hole: Bool[np.ndarray, "h w"]) -> Int32[np.ndarray, "h w"]:
    """Return the index of the window of each hole pixel: of overlapping windows the one whose edge is furthest."""
    owners, furthest = np.full(hole.shape, NO_SOURCE, np.int32), np.zeros(hole.shape, np.int32)
    for number, window in enumerate(plan.windows):
        inside = window.inside(*hole.shape)
        to_edge = (np.minimum(i - start, start + window.side - 1 - i) + 1
                   for i, start in zip((np.arange(part.start, part.stop) for part in inside), window[:2], strict=True))
        depth = np.minimum.outer(*to_edge) * plan.assigned(window, hole)
        owners[inside] = np.where(depth > furthest[inside], number, owners[inside])
        furthest[inside] = np.maximum(depth, furthest[inside])
    return owners
