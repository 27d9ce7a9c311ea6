"""Blending of a filled hole with its surroundings, so that its border does not show. Only pixels in the hole change.

A network's fill differs from the given pixels at the border by an offset that varies along the border. "gradient" keeps
the gradients of the fill and takes the values at the border from the given pixels, as Perez et al., "Poisson image
editing" (2003): it adds a correction that is the offset at the border and harmonic in the hole (the solution of
Laplace's equation). docs/repair.md has the measurements.

Pixels and, at coarser scales, cells of 2 x 2, 4 x 4, ... pixels are sorted integers, `row * stride + column`, so that
time and memory follow the size of the hole and not that of the photograph.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.sparse.linalg import splu

from mai_jax.errors import InputError
from mai_jax.inference.tiling import Pixels

BLENDS = ("gradient", "none")
DEFAULT = "gradient"
SMOOTHING = 8  # steps along the border, a standard deviation of 2 pixels: texture at the border is no offset
FEW = 20_000  # unknowns that are solved directly, in a tenth of a second
SWEEPS = 6  # of the relaxation at each larger scale: a mean error below a tenth of a level

Cells = Int[np.ndarray, "_"]
Values = Float[np.ndarray, "_ 3"]


def blend(image: Pixels, hole: Bool[np.ndarray, "h w"], filled: Pixels, how: str = DEFAULT) -> Pixels:
    """Return `filled`, the photograph `image` with its hole filled, with the hole blended into the given pixels.

    `how` is one of BLENDS; "none" returns `filled`. Raises InputError for another `how`.
    """
    if how not in BLENDS:
        raise InputError(f"blend={how!r}: must be {' or '.join(BLENDS)}")
    if how == "none" or hole.all() or not hole.any():
        return filled
    inside, stride = np.flatnonzero(hole), hole.shape[1]
    padded = _padded(inside, stride)
    border_rows, border_columns = _border(hole, inside)
    border = border_rows * (stride + 2) + border_columns + 1
    fill = filled.reshape(-1, 3)[inside].astype(np.float64)
    near = _neighbours(border, padded, stride + 2)
    beside = (near @ fill) / near.sum(1)[:, None]
    offsets = _smooth(image[border_rows, border_columns] - beside, border, stride + 2)
    white = np.iinfo(image.dtype).max
    corrected = np.clip(fill + _harmonic(padded, border, offsets, stride + 2), 0, white)
    blended = filled.copy()
    blended.reshape(-1, 3)[inside] = np.floor(corrected + 0.5).astype(image.dtype)
    return blended


def _padded(cells: Cells, width: int) -> Cells:
    """Return the cells in a grid with an empty column on both sides, so that neighbours are never in another row."""
    return cells // width * (width + 2) + cells % width + 1


def _border(hole: Bool[np.ndarray, "h w"], inside: Cells) -> tuple[Cells, Cells]:
    """Return the rows and columns of the given pixels beside the hole, in order."""
    (height, width), found = hole.shape, []
    rows, columns = inside // width, inside % width
    for down, right in ((-1, 0), (0, -1), (0, 1), (1, 0)):
        i, j = rows + down, columns + right
        exists = (i >= 0) & (i < height) & (j >= 0) & (j < width)
        i, j = i[exists], j[exists]
        given = ~hole[i, j]
        found.append(i[given] * width + j[given])
    border = np.unique(np.concatenate(found))
    return border // width, border % width


def _neighbours(cells: Cells, others: Cells, stride: int, *, diagonal: bool = False) -> sparse.csr_array:
    """Return the matrix that is 1 where a cell (row) has the other cell (column) as a neighbour."""
    steps = [-stride, -1, 1, stride] + ([-stride - 1, -stride + 1, stride - 1, stride + 1] if diagonal else [])
    pairs = []
    for step in steps:
        at = _positions(others, cells + step)
        hits = np.flatnonzero(at < len(others))
        pairs.append((hits, at[hits]))
    rows, columns = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return sparse.csr_array((np.ones(len(rows)), (rows, columns)), (len(cells), len(others)))


def _smooth(offsets: Values, border: Cells, stride: int) -> Values:
    """Return the offsets smoothed along the border: SMOOTHING times halfway to the mean of the neighbours."""
    near = _neighbours(border, border, stride, diagonal=True)
    count = near.sum(1)[:, None]
    for _ in range(SMOOTHING):
        offsets = np.where(count > 0, (offsets + near @ offsets / np.maximum(count, 1)) / 2, offsets)
    return offsets


def _harmonic(inside: Cells, border: Cells, offsets: Values, stride: int) -> Values:
    """Return the values at `inside` that are the mean of their neighbours, with `offsets` at the border.

    A coarser grid gives the start of the relaxation, so a few sweeps are enough at each scale.
    """
    beside = _neighbours(inside, border, stride)
    known = beside @ offsets
    if len(inside) <= FEW:
        near = _neighbours(inside, inside, stride)
        return splu((sparse.diags_array(near.sum(1) + beside.sum(1)) - near).tocsc()).solve(known)
    # The position of each neighbour in `values`, its last row, which is 0, for those that are not in the hole.
    near = [_positions(inside, inside + step) for step in (-stride, -1, 1, stride)]
    count = (sum(at < len(inside) for at in near) + beside.sum(1)).astype(np.float32)[:, None]
    known = known.astype(np.float32)
    values = np.zeros((len(inside) + 1, 3), np.float32)
    values[:-1] = _coarse(inside, border, offsets, stride)
    for _ in range(SWEEPS):
        total = known.copy()
        for at in near:
            total += values[at]
        values[:-1] = total / count
    return values[:-1]


def _coarse(inside: Cells, border: Cells, offsets: Values, stride: int) -> Values:
    """Return the solution on cells of twice the size. A cell with a pixel of the border has the mean of its offsets."""
    half = (stride + 1) // 2
    parents, border_parents = (cells // stride // 2 * half + cells % stride // 2 for cells in (inside, border))
    cells, at = np.unique(border_parents, return_inverse=True)
    sums = np.stack([np.bincount(at, channel, len(cells)) for channel in offsets.T], 1)
    values = sums / np.bincount(at, minlength=len(cells))[:, None]
    if len(free := np.setdiff1d(parents, cells)):
        values = np.concatenate([values, _harmonic(free, cells, values, half)])
        cells = np.concatenate([cells, free])
    order = np.argsort(cells)
    return values[order[np.searchsorted(cells, parents, sorter=order)]]


def _positions(cells: Cells, wanted: Cells) -> Int[np.ndarray, "_"]:
    """Return the position of each wanted cell in `cells`, their number for those that are not there."""
    at = np.searchsorted(cells, wanted)
    at[cells[np.minimum(at, len(cells) - 1)] != wanted] = len(cells)
    return at.astype(np.int32)
