"""Eq. 6-8 without the matrix of all scores: one block of query rows at a time, forward and backward.

Eq. 8 shifts query and key together, so it combines a row of queries with the k rows above and below only. A block
therefore computes the scores of its own rows and of k more rows on either side (the halo) against every key, and needs
nothing from other blocks.

A map is stored as a flat list of positions of row length W = w + k: every row ends in k empty positions, and k empty
rows and k single positions precede and follow the map. Then a shift by (i, j) is a shift by d = i W + j, positions
shifted out of the map are empty, and Eq. 8 is a sum of shifted slices: S'[q, p] = sum over d of S[q + d, p + d].
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

# Scores of one image and block, halo included. Fewer recompute more halo rows; on a CPU, more are not faster. On a GPU
# they are launches, too: a map of 64 x 64 is one block.
BLOCK_SCORES = 9 * 2**18
GPU_BLOCK_SCORES = 9 * 2**22
LARGEST_SHIFT = 40.0  # exp(-2 * 40) is still a normal float32


def attend(
    unit: Float[Array, "b h w c"],
    values: Float[Array, "b h w c"],
    valid: Float[Array, "b h w 1"],
    scale: float,
    window: int,
) -> Float[Array, "b h w c"]:
    """Return the attention output of every position.

    `unit` (x / ||x|| of Eq. 6) is the query everywhere, and the key where `valid` is 1. `values` must be zero where
    `valid` is 0. Scores, softmax and sums are float32 or better; the factors of products have the dtype of `unit`.
    `valid` has no gradient.
    """
    _, h, w, _ = unit.shape
    halo = window // 2
    on_gpu, elsewhere = (_Grid(h, w, halo, _rows(h, w, halo, most)) for most in (GPU_BLOCK_SCORES, BLOCK_SCORES))
    return jax.vmap(partial(_attend, (on_gpu, elsewhere), scale))(unit, values, valid[..., 0])


def _rows(h: int, w: int, halo: int, scores: int) -> int:
    """Return the query rows per block: equal parts of h within `scores`, at least as many as its halo rows."""
    affordable = scores // ((w + halo) * (h + 2 * halo) * (w + halo)) - 2 * halo
    blocks = -(-h // max(affordable, 2 * halo, 1))
    return -(-h // blocks)


@dataclasses.dataclass(frozen=True)
class _Grid:
    """The flat layout of a map of h x w positions, cut into blocks of `rows` query rows."""

    h: int
    w: int
    halo: int  # k of Eq. 8
    rows: int

    @property
    def width(self) -> int:
        return self.w + self.halo

    @property
    def blocks(self) -> int:
        return -(-self.h // self.rows)

    @property
    def queries(self) -> int:
        """Query positions of a block, empty ones included."""
        return self.rows * self.width

    @property
    def keys(self) -> int:
        return self.h * self.width

    @property
    def margin(self) -> int:
        """Length of the largest shift: positions before and after a block, and before and after the list of keys."""
        return self.halo * self.width + self.halo

    def flatten(self, x: Array) -> Array:
        """Return [h, w, ...] as a flat list, padded to the end of the last block."""
        below = self.halo + self.blocks * self.rows - self.h
        rest = ((0, 0),) * (x.ndim - 2)
        rows = jnp.pad(x, ((self.halo, below), (0, self.halo), *rest))
        return jnp.pad(rows.reshape(-1, *x.shape[2:]), ((self.halo, self.halo), *rest))

    def unflatten(self, x: Float[Array, "... c"]) -> Float[Array, "h w c"]:
        """Return the map of a flat list or of blocks, both without the margin before the map."""
        return x.reshape(-1, self.width, x.shape[-1])[: self.h, : self.w]

    def block(self, x: Array, i: Array) -> Array:
        """Return block i of a flat list, with its margins."""
        return lax.dynamic_slice_in_dim(x, i * self.queries, self.queries + 2 * self.margin)

    def all_keys(self, x: Array) -> Array:
        """Return the flat list of the map and its margins, without the padding of the last block."""
        return x[: self.keys + 2 * self.margin]

    def propagate(self, s: Float[Array, "q p"]) -> Float[Array, "q2 p2"]:
        """Return the sum of Eq. 8, from a block with margins to a block without. This map is its own transpose."""
        n, m, k, width = self.queries, self.keys, self.halo, self.width
        shifts = [i * width for i in range(2 * k + 1)]
        s = sum(s[d : d + n + 2 * k, d : d + m + 2 * k] for d in shifts)  # type: ignore[assignment]
        return sum(s[d : d + n, d : d + m] for d in range(2 * k + 1))  # type: ignore[return-value]


Grids = tuple[_Grid, _Grid]  # on a GPU, elsewhere


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _attend(
    grids: Grids, scale: float, unit: Float[Array, "h w c"], values: Float[Array, "h w c"], valid: Float[Array, "h w"]
) -> Float[Array, "h w c"]:
    return _forward(grids, scale, unit, values, valid)[0]


def _forward(grids: Grids, scale: float, unit: Array, values: Array, valid: Array) -> tuple[Array, tuple[Array, ...]]:
    out, lse = _by_platform(_forward_in_blocks, grids, scale, unit, values, valid)
    return out, (unit, values, valid, lse)


def _backward(
    grids: Grids, scale: float, saved: tuple[Array, ...], gradient: Float[Array, "h w c"]
) -> tuple[Array, Array, None]:
    return *_by_platform(_backward_in_blocks, grids, scale, *saved, gradient), None


_attend.defvjp(_forward, _backward)


def _by_platform(form: Callable[..., Any], grids: Grids, scale: float, *operands: Array) -> Any:
    on_gpu, elsewhere = (partial(form, grid, scale) for grid in grids)
    if grids[0] == grids[1]:
        return elsewhere(*operands)
    return lax.platform_dependent(*operands, cuda=on_gpu, default=elsewhere)


def _forward_in_blocks(
    grid: _Grid, scale: float, unit: Array, values: Array, valid: Array
) -> tuple[Float[Array, "h w c"], Float[Array, "keys"]]:
    """Return the output, and the logarithm of the sum of exponentials of each position of the flat map."""
    all_q, v = grid.flatten(unit), grid.all_keys(grid.flatten(values))[grid.margin : -grid.margin or None]
    k, background = grid.all_keys(all_q), grid.all_keys(grid.flatten(valid)) > 0
    inside = grid.flatten(jnp.ones_like(valid)) > 0

    def attend_block(i: Array) -> tuple[Array, Array]:
        q = grid.block(all_q, i)
        logits = jnp.where(background, scale * _product(q, k, 1, 1), -jnp.inf)
        peak = _peak(logits, scale)
        weights = jnp.exp(logits - peak[:, None])
        total = weights.sum(axis=1)
        # Infinite for empty queries and without any background: those scores become zero.
        lse = jnp.where(grid.block(inside, i) & (total > 0), peak + jnp.log(total), jnp.inf)
        # An exponential, because XLA would recompute a cheaper form for each of the slices that propagate reads.
        scores = weights * jnp.exp(peak - lse)[:, None]
        out = _product(grid.propagate(scores).astype(values.dtype), v, 1, 0)
        return out, lse[grid.margin : grid.margin + grid.queries]

    out, lse = lax.map(attend_block, jnp.arange(grid.blocks))
    return grid.unflatten(out).astype(values.dtype), lse.reshape(-1)[: grid.keys]


def _backward_in_blocks(
    grid: _Grid, scale: float, unit: Array, values: Array, valid: Array, lse: Float[Array, "keys"],
    gradient: Float[Array, "h w c"],
) -> tuple[Float[Array, "h w c"], Float[Array, "h w c"]]:  # fmt: skip
    """Return the gradients of `unit` and `values`."""
    below = grid.blocks * grid.queries - grid.keys
    all_lse = jnp.pad(lse, (grid.margin, grid.margin + below), constant_values=jnp.inf)
    all_q, all_d_out = grid.flatten(unit), grid.flatten(gradient)
    k, v, background = (grid.all_keys(a) for a in (all_q, grid.flatten(values), grid.flatten(valid) > 0))
    query_slice, key_slice = (slice(grid.margin, grid.margin + n) for n in (grid.queries, grid.keys))

    def step(sums: tuple[Array, Array], i: Array) -> tuple[tuple[Array, Array], Array]:
        q, d_out, lse = (grid.block(a, i) for a in (all_q, all_d_out, all_lse))
        logits = scale * _product(q, k, 1, 1) - lse[:, None]
        scores = jnp.exp(jnp.where(background, logits, -jnp.inf))
        dv = _product(d_out[query_slice], grid.propagate(scores).astype(values.dtype), 0, 0)
        scores = scores[query_slice, key_slice]
        weighted = scores * grid.propagate(_product(d_out, v, 1, 1))
        # A product with ones, because XLA for CPU fuses a sum with all of its inputs into one slow pass.
        row_sum = jnp.dot(weighted, jnp.ones(grid.keys, weighted.dtype), precision="highest")
        d_logits = (scale * (weighted - scores * row_sum[:, None])).astype(unit.dtype)
        dk = _product(q[query_slice], d_logits, 0, 0)
        return (sums[0] + dk, sums[1] + dv), _product(d_logits, k[key_slice], 1, 0)

    zero = jnp.zeros_like(v[key_slice].T, dtype=all_lse.dtype)
    (dk, dv), dq = lax.scan(step, (zero, zero), jnp.arange(grid.blocks))
    d_unit = grid.unflatten(dq) + grid.unflatten(dk.T)
    return d_unit.astype(unit.dtype), grid.unflatten(dv.T).astype(values.dtype)


def _peak(logits: Float[Array, "q p"], scale: float) -> Float[Array, " q"]:
    """Return what to subtract before the exponential. A cosine is at most 1, so a moderate scale needs no maximum."""
    if scale <= LARGEST_SHIFT:
        return jnp.full_like(logits[:, 0], scale)
    return logits.max(axis=1, initial=jnp.finfo(logits.dtype).min)  # finite without any background


def _product(a: Float[Array, "..."], b: Float[Array, "..."], over_a: int, over_b: int) -> Float[Array, "..."]:
    """Return the matrix product that sums over axis `over_a` of a and `over_b` of b, in float32 or better."""
    wide = jnp.promote_types(a.dtype, jnp.float32)
    return lax.dot_general(a, b, (((over_a,), (over_b,)), ((), ())), preferred_element_type=wide)
