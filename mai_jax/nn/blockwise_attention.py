"""Eq. 6-8 without the matrix of all scores: one block of query rows at a time, forward and backward.

Eq. 8 shifts query and key together, so it mixes a row of queries with the k rows above and below, and no others. A
block therefore scores its own rows and k more on either side (the halo) against every key, and can finish them alone.

A map is kept as a flat list of positions that is W = w + k wide: every row ends in k empty positions, and k empty rows
and k single positions stand before and after the map. Then a shift by (i, j) is a shift by d = i W + j, whatever
it crosses is empty, and Eq. 8 is a sum of shifted slices: S'[q, p] = sum over d of S[q + d, p + d].
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

BLOCK_SCORES = 9 * 2**18  # of one image and block, halo included; more gain no speed, fewer repeat more halo
LARGEST_SHIFT = 40.0  # exp(-2 * 40) is still a normal float32


def attend(
    unit: Float[Array, "b h w c"],
    values: Float[Array, "b h w c"],
    known: Float[Array, "b h w 1"],
    scale: float,
    window: int,
) -> Float[Array, "b h w c"]:
    """What each position takes from `values`; `unit` (Eq. 6's x / ||x||) asks and answers, where `known` is 1.

    `values` must be zero where `known` is 0. Scores, softmax and sums are float32 or better; products read the dtype
    of `unit`. No gradient goes to `known`.
    """
    _, h, w, _ = unit.shape
    k = window // 2
    grid = _Grid(h, w, k, _rows(h, w, k))
    return jax.vmap(partial(_attend, grid, scale))(unit, values, known[..., 0])


def _rows(h: int, w: int, k: int) -> int:
    """Query rows per block: equal shares of h within the budget, and at least as many as their halo has."""
    affordable = BLOCK_SCORES // ((w + k) * (h + 2 * k) * (w + k)) - 2 * k
    blocks = -(-h // max(affordable, 2 * k, 1))
    return -(-h // blocks)


@dataclasses.dataclass(frozen=True)
class _Grid:
    """The flat layout of a map of h x w positions, cut into blocks of `rows` query rows."""

    h: int
    w: int
    k: int
    rows: int

    @property
    def width(self) -> int:
        return self.w + self.k

    @property
    def blocks(self) -> int:
        return -(-self.h // self.rows)

    @property
    def queries(self) -> int:
        """Positions that a block answers for, empty ones included."""
        return self.rows * self.width

    @property
    def keys(self) -> int:
        return self.h * self.width

    @property
    def margin(self) -> int:
        """How far the furthest shift reaches: positions that a block, or the list of keys, has before and after."""
        return self.k * self.width + self.k

    def flatten(self, x: Array) -> Array:
        """[h, w, ...] as a flat list that is long enough for the last block."""
        below = self.k + self.blocks * self.rows - self.h
        rest = ((0, 0),) * (x.ndim - 2)
        rows = jnp.pad(x, ((self.k, below), (0, self.k), *rest))
        return jnp.pad(rows.reshape(-1, *x.shape[2:]), ((self.k, self.k), *rest))

    def unflatten(self, x: Float[Array, "... c"]) -> Float[Array, "h w c"]:
        """The map of a list, or of blocks, that begins at its first position."""
        return x.reshape(-1, self.width, x.shape[-1])[: self.h, : self.w]

    def block(self, x: Array, i: Array) -> Array:
        """Block i of a flat list, with its margins."""
        return lax.dynamic_slice_in_dim(x, i * self.queries, self.queries + 2 * self.margin)

    def all_keys(self, x: Array) -> Array:
        """The flat list without what only the last block needs."""
        return x[: self.keys + 2 * self.margin]

    def propagate(self, s: Float[Array, "q p"]) -> Float[Array, "q2 p2"]:
        """Eq. 8, from a block with margins to a block without. It is its own transpose."""
        n, m, k, width = self.queries, self.keys, self.k, self.width
        shifts = [i * width for i in range(2 * k + 1)]
        s = sum(s[d : d + n + 2 * k, d : d + m + 2 * k] for d in shifts)
        return sum(s[d : d + n, d : d + m] for d in range(2 * k + 1))


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _attend(
    grid: _Grid, scale: float, unit: Float[Array, "h w c"], values: Float[Array, "h w c"], known: Float[Array, "h w"]
) -> Float[Array, "h w c"]:
    return _forward(grid, scale, unit, values, known)[0]


def _forward(grid: _Grid, scale: float, unit: Array, values: Array, known: Array) -> tuple[Array, tuple[Array, ...]]:
    asking, answers = grid.flatten(unit), grid.all_keys(grid.flatten(values))[grid.margin : -grid.margin or None]
    keys, background = grid.all_keys(asking), grid.all_keys(grid.flatten(known)) > 0
    inside = grid.flatten(jnp.ones_like(known)) > 0

    def paint(i: Array) -> tuple[Array, Array]:
        logits = jnp.where(background, scale * _product(grid.block(asking, i), keys, 1, 1), -jnp.inf)
        peak = _peak(logits, scale)
        weights = jnp.exp(logits - peak[:, None])
        total = weights.sum(axis=1)
        # Infinite where nothing is asked or nothing answers: those scores become zero.
        log_total = jnp.where(grid.block(inside, i) & (total > 0), peak + jnp.log(total), jnp.inf)
        # An exponential, because XLA would repeat a cheaper form for each of the slices that propagate reads.
        scores = weights * jnp.exp(peak - log_total)[:, None]
        return _product(grid.propagate(scores).astype(values.dtype), answers, 1, 0), log_total

    painted, log_totals = lax.map(paint, jnp.arange(grid.blocks))
    return grid.unflatten(painted).astype(values.dtype), (unit, values, known, log_totals)


def _backward(
    grid: _Grid, scale: float, saved: tuple[Array, ...], slope: Float[Array, "h w c"]
) -> tuple[Array, Array, None]:
    unit, values, known, log_totals = saved
    asking, slopes = grid.flatten(unit), grid.flatten(slope)
    keys, answers, background = (grid.all_keys(a) for a in (asking, grid.flatten(values), grid.flatten(known) > 0))
    queries, inner = (slice(grid.margin, grid.margin + n) for n in (grid.queries, grid.keys))

    def step(sums: tuple[Array, Array], block: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        i, log_total = block
        own, own_slopes = grid.block(asking, i), grid.block(slopes, i)
        logits = scale * _product(own, keys, 1, 1) - log_total[:, None]
        scores = jnp.exp(jnp.where(background, logits, -jnp.inf))
        to_values = _product(own_slopes[queries], grid.propagate(scores).astype(values.dtype), 0, 0)
        scores = scores[queries, inner]
        weighed = scores * grid.propagate(_product(own_slopes, answers, 1, 1))
        # A product with ones, because XLA for CPU computes a sum in one slow pass with all that leads to it.
        mean = jnp.dot(weighed, jnp.ones(grid.keys, weighed.dtype), precision="highest")
        to_logits = (scale * (weighed - scores * mean[:, None])).astype(unit.dtype)
        to_keys = _product(own[queries], to_logits, 0, 0)
        return (sums[0] + to_keys, sums[1] + to_values), _product(to_logits, keys[inner], 1, 0)

    zero = jnp.zeros_like(answers[inner].T, dtype=log_totals.dtype)
    (to_keys, to_values), to_queries = lax.scan(step, (zero, zero), (jnp.arange(grid.blocks), log_totals))
    to_unit = grid.unflatten(to_queries) + grid.unflatten(to_keys.T)
    return to_unit.astype(unit.dtype), grid.unflatten(to_values.T).astype(values.dtype), None


_attend.defvjp(_forward, _backward)


def _peak(logits: Float[Array, "q p"], scale: float) -> Float[Array, " q"]:
    """What to subtract before the exponential. A cosine is at most 1, so a moderate scale needs no search."""
    if scale <= LARGEST_SHIFT:
        return jnp.full_like(logits[:, 0], scale)
    return logits.max(axis=1, initial=jnp.finfo(logits.dtype).min)  # finite, where nothing answers


def _product(a: Float[Array, "..."], b: Float[Array, "..."], over_a: int, over_b: int) -> Float[Array, "..."]:
    """The matrix product that sums over these axes, in float32 or better."""
    wide = jnp.promote_types(a.dtype, jnp.float32)
    return lax.dot_general(a, b, (((over_a,), (over_b,)), ((), ())), preferred_element_type=wide)
