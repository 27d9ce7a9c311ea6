"""Eq. 6-8 as one TPU kernel (Pallas): no score leaves the chip, and each is computed once per pass.

One program computes the scores of one row of queries against every key; the programs of an image run in sequence. Keys
and values stay in VMEM, and so do the exponentials of the last 2k + 1 rows of queries: a ring. When row y + k is
complete, the ring holds all that Eq. 8 combines into row y. The backward pass is the same program with a second ring,
the products of gradients and values, and with the gradients of keys and values summed in VMEM.

With the layout of `score_chunks`, a vertical shift of Eq. 8 is another row of the ring and a chunk further up or down,
a horizontal one a masked rotation.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from mai_jax.nn.score_chunks import Layout


def attend_on_mesh(
    unit: Float[Array, "b h w c"],
    values: Float[Array, "b h w c"],
    valid: Float[Array, "b h w 1"],
    scale: float,
    window: int,
    memory: int,
) -> Float[Array, "b h w c"]:
    """Return `attend` of a batch that is sharded over all axes of the mesh, because XLA cannot partition a kernel."""
    one = partial(attend, scale, window, memory, False)
    sharded = PartitionSpec(jax.sharding.get_abstract_mesh().axis_names)
    function = jax.shard_map(jax.vmap(one), in_specs=sharded, out_specs=sharded, check_vma=False)
    return function(unit, values, valid[..., 0])


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2, 3))
def attend(
    scale: float, window: int, memory: int, interpret: bool,
    unit: Float[Array, "h w c"], values: Float[Array, "h w c"], valid: Float[Array, "h w"],
) -> Float[Array, "h w c"]:  # fmt: skip
    """Return the attention output of one image; the arrays are those of `blockwise_attention.attend`.

    `scale` is at most `blockwise_attention.LARGEST_SHIFT`. `memory` is the VMEM that the kernels may use, in bytes.
    `interpret` runs them on a CPU.
    """
    layout = Layout.of(unit.shape, window)
    wide = jnp.promote_types(unit.dtype, jnp.float32)
    out = pl.pallas_call(
        partial(_forward_kernel, layout, scale),
        grid=(layout.h + layout.halo,),
        in_specs=[_row(layout, 0), *map(_resident, _key_shapes(layout))],
        out_specs=_row(layout, layout.halo),
        out_shape=jax.ShapeDtypeStruct((layout.h, layout.queries, layout.channels), values.dtype),
        scratch_shapes=[pltpu.VMEM(layout.ring, wide), _shares(layout, wide)],
        compiler_params=pltpu.CompilerParams(vmem_limit_bytes=memory),
        cost_estimate=_cost(layout, products=2),
        interpret=interpret,
        name="attention_forward",
    )(layout.of_queries(unit), *_keys(layout, unit, values, valid))
    return out[:, : layout.w]


def _forward(
    scale: float, window: int, memory: int, interpret: bool, unit: Array, values: Array, valid: Array
) -> tuple[Array, tuple[Array, ...]]:
    return attend(scale, window, memory, interpret, unit, values, valid), (unit, values, valid)


def _backward(
    scale: float, window: int, memory: int, interpret: bool, saved: tuple[Array, ...], gradient: Float[Array, "h w c"]
) -> tuple[Array, Array, None]:
    unit, values, valid = saved
    layout = Layout.of(unit.shape, window)
    wide = jnp.promote_types(unit.dtype, jnp.float32)
    row, row_above = _row(layout, 0), _row(layout, layout.halo)
    transposed = (layout.chunks, layout.channels, layout.keys)
    queries, gradients = layout.of_queries(unit), layout.of_queries(gradient)
    dq, dk, dv = pl.pallas_call(
        partial(_backward_kernel, layout, scale),
        grid=(layout.h + layout.halo,),
        in_specs=[row, row_above, row, row_above, *map(_resident, _key_shapes(layout))],
        out_specs=[row_above, _resident(transposed), _resident(transposed)],
        out_shape=[jax.ShapeDtypeStruct(shape, wide) for shape in (queries.shape, transposed, transposed)],
        scratch_shapes=[
            pltpu.VMEM(layout.ring, wide), pltpu.VMEM(layout.ring, wide), _shares(layout, wide),
            pltpu.VMEM((layout.chunks, *layout.ring[2:]), wide),
        ],
        compiler_params=pltpu.CompilerParams(vmem_limit_bytes=memory),
        cost_estimate=_cost(layout, products=5),
        interpret=interpret,
        name="attention_backward",
    )(queries, queries, gradients, gradients, *_keys(layout, unit, values, valid))  # fmt: skip
    d_unit = dq[:, : layout.w] + layout.from_keys(dk)
    return d_unit.astype(unit.dtype), layout.from_keys(dv).astype(values.dtype), None


attend.defvjp(_forward, _backward)


def _cost(layout: Layout, *, products: int) -> pl.CostEstimate:
    """Return the cost for one image, with the scores of empty positions, which the matrix units compute, too."""
    scores = layout.h * layout.queries * layout.chunks * layout.keys
    positions = layout.h * layout.w * layout.channels
    return pl.CostEstimate(
        flops=2 * products * scores * layout.channels, transcendentals=scores, bytes_accessed=8 * products * positions)


def _row(layout: Layout, behind: int) -> pl.BlockSpec:
    """Return the block of row r - behind of the queries in program r; the closest row that exists."""

    def index(r: Array) -> tuple[Array, int, int]:
        return jnp.clip(r - behind, 0, layout.h - 1), 0, 0

    return pl.BlockSpec((None, layout.queries, layout.channels), index)


def _resident(shape: tuple[int, ...]) -> pl.BlockSpec:
    """Return the block that is a whole array, in VMEM once."""
    return pl.BlockSpec(shape, lambda r: (0,) * len(shape), pipeline_mode=pl.Buffered(1))


def _shares(layout: Layout, dtype: Any) -> Any:
    return pltpu.VMEM((layout.ring[0], layout.queries, 1), dtype)


def _key_shapes(layout: Layout) -> list[tuple[int, ...]]:
    positions = (layout.chunks, layout.keys, layout.channels)
    return [positions, positions, (layout.chunks, 1, layout.keys)]


def _keys(layout: Layout, unit: Array, values: Array, valid: Array) -> tuple[Array, Array, Array]:
    """Return keys, values, and where keys are valid."""
    background = layout.of_keys(valid[..., None].astype(jnp.promote_types(unit.dtype, jnp.float32)))
    keys = jnp.where(valid[..., None] > 0, unit, 0)
    return layout.of_keys(keys), layout.of_keys(values), background.swapaxes(1, 2)


def _forward_kernel(
    layout: Layout, scale: float, q: Any, k: Any, v: Any, valid: Any, out: Any, ring: Any, shares: Any
) -> None:
    r = pl.program_id(0)
    _enter_row(layout, scale, r, q, k, valid, ring, shares)

    @pl.when(r >= layout.halo)
    def _() -> None:
        propagate = _propagation(layout, r - layout.halo, ring, shares)

        def add(c: Array, total: Array) -> Array:
            return total + _product(propagate(c).astype(v.dtype), v[c], 1, 0)

        zero = jnp.zeros((layout.queries, layout.channels), ring.dtype)
        out[...] = _over_chunks(layout, add, zero).astype(out.dtype)


def _backward_kernel(
    layout: Layout, scale: float, q: Any, q_above: Any, g: Any, g_above: Any, k: Any, v: Any, valid: Any,
    dq: Any, dk: Any, dv: Any, ring: Any, products: Any, shares: Any, weighted: Any,
) -> None:  # fmt: skip
    r, slots = pl.program_id(0), layout.ring[0]
    _enter_row(layout, scale, r, q, k, valid, ring, shares)
    slot = lax.rem(r, slots)

    @pl.when(r == 0)
    def _() -> None:
        _clear(products)

        def clear(c: Array, carry: Any) -> Any:
            dk[c] = jnp.zeros(dk.shape[1:], dk.dtype)
            dv[c] = jnp.zeros(dv.shape[1:], dv.dtype)
            return carry

        _over_chunks(layout, clear, 0)

    def enter(c: Array, carry: Any) -> Any:
        product = _product(g[...], v[c], 1, 1)
        products[slot, c + layout.margin] = jnp.where(r < layout.h, product, 0)
        return carry

    _over_chunks(layout, enter, 0)

    @pl.when(r >= layout.halo)
    def _() -> None:
        y = r - layout.halo
        propagate, propagate_products = _propagation(layout, y, ring, shares), _propagation(layout, y, products, None)
        own_slot = lax.rem(y, slots)
        share = shares[own_slot]
        g_transposed, q_transposed = (a[...].astype(dk.dtype).T.astype(q.dtype) for a in (g_above, q_above))

        def weigh(c: Array, row_sum: Array) -> Array:
            dv[c] += _product(g_transposed, propagate(c).astype(v.dtype), 1, 0)
            weighted[c] = ring[own_slot, c + layout.margin] * share * propagate_products(c)
            return row_sum + weighted[c]

        row_sum = _over_chunks(layout, weigh, jnp.zeros(ring.shape[2:], ring.dtype)).sum(axis=1, keepdims=True)

        def add(c: Array, total: Array) -> Array:
            scores = ring[own_slot, c + layout.margin] * share
            d_logits = (scale * (weighted[c] - scores * row_sum)).astype(q.dtype)
            dk[c] += _product(q_transposed, d_logits, 1, 0)
            return total + _product(d_logits, k[c], 1, 0)

        dq[...] = _over_chunks(layout, add, jnp.zeros((layout.queries, layout.channels), dq.dtype))


def _enter_row(layout: Layout, scale: float, r: Array, q: Any, k: Any, valid: Any, ring: Any, shares: Any) -> None:
    """Store the exponentials of row r in the ring, and the reciprocal of their sum in `shares`.

    Rows below the map, and those above it, are zero.
    """
    slot = lax.rem(r, layout.ring[0])

    @pl.when(r == 0)
    def _() -> None:
        _clear(ring)
        shares[...] = jnp.zeros(shares.shape, shares.dtype)

    @pl.when(r < layout.h)
    def _() -> None:
        def enter(c: Array, total: Array) -> Array:
            logits = scale * _product(q[...], k[c], 1, 1) - scale
            weights = jnp.where(valid[c] > 0, jnp.exp(logits), 0)
            ring[slot, c + layout.margin] = weights
            return total + weights

        total = _over_chunks(layout, enter, jnp.zeros(ring.shape[2:], ring.dtype)).sum(axis=1, keepdims=True)
        some = total > 0
        shares[slot] = jnp.where(some, 1 / jnp.where(some, total, 1), 0)

    @pl.when(r >= layout.h)
    def _() -> None:
        shares[slot] = jnp.zeros(shares.shape[1:], shares.dtype)


def _clear(ring: Any) -> None:
    def clear(c: Array, carry: Any) -> Any:
        for slot in range(ring.shape[0]):
            ring[slot, c] = jnp.zeros(ring.shape[2:], ring.dtype)
        return carry

    lax.fori_loop(0, ring.shape[1], clear, 0)


def _propagation(layout: Layout, y: Array, ring: Any, shares: Any) -> Any:
    """Return the function that returns the sum of Eq. 8 for chunk c of row y. `shares` normalizes the ring's rows."""
    k, w, slots = layout.halo, layout.w, layout.ring[0]
    shape = layout.ring[2:]
    query, lane = (lax.broadcasted_iota(jnp.int32, shape, axis) for axis in (0, 1))
    column = lax.rem(lane, w) if layout.together > 1 else lane
    inside = {j: (query < w) & (query + j >= 0) & (query + j < w) & (column + j >= 0) & (column + j < w)
              for j in range(-k, k + 1)}  # fmt: skip
    row_slots = {i: lax.rem(y + i + slots, slots) for i in range(-k, k + 1)}
    factors = {i: None if shares is None else shares[slot] for i, slot in row_slots.items()}

    def shifted(c: Array, i: int) -> Array:
        """Return the scores of query row y + i for the keys i rows below those of chunk c."""
        chunks_down, rows_down = divmod(i, layout.together)
        here = ring[row_slots[i], c + layout.margin + chunks_down]
        if rows_down:
            lanes_down = rows_down * w
            below = ring[row_slots[i], c + layout.margin + chunks_down + 1]
            here = pltpu.roll(jnp.where(lane < lanes_down, below, here), layout.keys - lanes_down, 1)
        return here if factors[i] is None else here * factors[i]

    def propagate(c: Array) -> Array:
        s: Array = sum(shifted(c, i) for i in range(-k, k + 1))  # type: ignore[assignment]
        total = s
        for j in (*range(-k, 0), *range(1, k + 1)):
            moved = pltpu.roll(pltpu.roll(s, -j % shape[0], 0), -j % shape[1], 1)
            total = total + jnp.where(inside[j], moved, 0)
        return total

    return propagate


def _over_chunks(layout: Layout, body: Any, start: Any) -> Any:
    return lax.fori_loop(0, layout.chunks, body, start)


def _product(a: Float[Array, "..."], b: Float[Array, "..."], over_a: int, over_b: int) -> Float[Array, "..."]:
    """Return the matrix product that sums over axis `over_a` of a and `over_b` of b, in float32 or better."""
    wide = jnp.promote_types(a.dtype, jnp.float32)
    return lax.dot_general(a, b, (((over_a,), (over_b,)), ((), ())), preferred_element_type=wide)
