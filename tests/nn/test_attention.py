"""Pixelwise attention (Eq. 6-12): every implementation against loops over the equations, and what they may not read."""

from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec
from jax.test_util import check_grads

from mai_jax.nn import blockwise_attention
from mai_jax.nn.attention import IMPLEMENTATIONS, PixelwiseAttention, attend, scores
from mai_jax.types import Masked

each = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)


def draw(size, *, channels=3, known_share=0.5, batch=2, seed=0):
    rng = np.random.default_rng(seed)
    known = (rng.random((batch, *size, 1)) < known_share).astype(float)
    return rng.normal(size=(batch, *size, channels)), known


@partial(jax.jit, static_argnames=("scale", "window", "implementation"))
def run(x, known, **settings):
    return attend(Masked(x, known), **settings)


def by_loops(x, known, scale, window):
    """S' of Eq. 6-8 word for word, and what it paints; a background position is a key, every position is a query."""
    (b, h, w, _), k = x.shape, (window - 1) // 2
    cells, propagated, painted = list(product(range(h), range(w))), np.zeros((b, h, w, h, w)), np.zeros_like(x)
    for n in range(b):
        background = [cell for cell in cells if known[n][cell] == 1]
        if not background:
            continue
        score = {}  # S* of Eq. 7
        for q in cells:
            similarity = [x[n][q] @ x[n][key] / np.linalg.norm(x[n][q]) / np.linalg.norm(x[n][key])
                          for key in background]
            weights = np.exp(scale * np.array(similarity))
            score |= {(q, key): weight for key, weight in zip(background, weights / weights.sum(), strict=True)}
        for q, key in product(cells, background):
            for i, j in product(range(-k, k + 1), repeat=2):
                moved = ((q[0] + i, q[1] + j), (key[0] + i, key[1] + j))
                propagated[n][q][key] += score.get(moved, 0)
            painted[n][q] += propagated[n][q][key] * x[n][key]
    return propagated, painted


@pytest.fixture
def blocks_of(monkeypatch):
    """Sets how many rows of queries a block has."""
    return lambda rows: monkeypatch.setattr(blockwise_attention, "_rows", lambda h, w, k: rows)


def value_and_gradient(x, known, **settings):
    """What attention paints, and the gradient of a sum in which every position has a weight of its own."""

    @jax.jit  # here, so that nothing compiled for another size of block is used again
    def both(x, known):
        painted, pull_back = jax.vjp(lambda x: attend(Masked(x, known), **settings), x)
        weights = jnp.cos(jnp.arange(x.size, dtype=jnp.float32)).reshape(x.shape)
        return painted, *pull_back(weights.astype(x.dtype))

    return both(x, known)


def bits(tree):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


@pytest.mark.parametrize(("size", "window", "scale", "known_share"), [
    ((4, 5), 1, 10.0, 0.5),
    ((4, 5), 3, 10.0, 0.5),
    ((5, 3), 3, 2.5, 0.8),
    ((3, 6), 5, 10.0, 0.3),
    ((2, 2), 5, 4.0, 0.7),
    ((1, 4), 3, 10.0, 1.0),
])
def test_equals_the_equations(x64, size, window, scale, known_share):
    x, known = draw(size, known_share=known_share)
    expected_scores, expected = by_loops(x, known, scale, window)
    found = jax.jit(partial(scores, scale=scale, window=window))(Masked(x, known))
    np.testing.assert_allclose(found, expected_scores, rtol=1e-10, atol=1e-10)
    for implementation in IMPLEMENTATIONS:
        painted = run(x, known, scale=scale, window=window, implementation=implementation)
        np.testing.assert_allclose(painted, expected, rtol=1e-10, atol=1e-10, err_msg=implementation)


@each
@pytest.mark.parametrize("window", [1, 3])
def test_gradients(x64, implementation, window):
    x, known = draw((3, 4), batch=1)
    check_grads(lambda x: run(x, known, scale=3.0, window=window, implementation=implementation), (x,), 1, ["rev"])


@each
def test_a_scaled_copy_of_a_background_pixel_finds_its_original(x64, implementation):
    """Eq. 6 compares directions, and what is painted is the background pixel itself, not its unit vector."""
    x, known = draw((4, 4), batch=1)
    originals, holes = np.argwhere(known[0, ..., 0] == 1), np.argwhere(known[0, ..., 0] == 0)
    for i, hole in enumerate(holes):
        x[0, *hole] = (0.1 + i) * x[0, *originals[i % len(originals)]]
    painted = run(x, known, scale=1e6, window=1, implementation=implementation)
    for i, hole in enumerate(holes):
        np.testing.assert_allclose(painted[0, *hole], x[0, *originals[i % len(originals)]], rtol=1e-9)


@each
@pytest.mark.parametrize("poison", [1e6, np.nan])
def test_what_stands_in_a_hole_serves_as_query_only(implementation, poison):
    """Poison at one position reaches its own row of scores, and through the shifts of Eq. 8 those at most k away."""
    x, known = (a.astype(np.float32) for a in draw((6, 7), known_share=0.6))
    known[:, 2, 3] = 0
    dirty = x.copy()
    dirty[:, 2, 3] = poison
    far = np.ones((6, 7), bool)
    far[1:4, 2:5] = False

    @jax.jit
    def weighed(x):
        return jnp.sum(run(x, known, implementation=implementation)[:, far] ** 2)

    clean_map, dirty_map = (np.asarray(run(a, known, implementation=implementation)) for a in (x, dirty))
    assert bits(dirty_map[:, far]) == bits(clean_map[:, far])
    if np.isfinite(poison):  # a NaN query gets a NaN row, and 0 * NaN in the backward pass is NaN
        clean_gradient, dirty_gradient = (jax.grad(weighed)(a) for a in (x, dirty))
        assert bits(dirty_gradient) == bits(clean_gradient)
        assert not np.any(clean_gradient[:, 2, 3])


@each
@pytest.mark.parametrize("known_share", [0.0, 1.0])
def test_all_hole_and_no_hole(implementation, known_share):
    x, known = (a.astype(np.float32) for a in draw((4, 5), known_share=known_share))
    x[:, 1, 2] = 0  # a vector without a direction
    value, gradient = jax.jit(jax.value_and_grad(
        lambda x: jnp.sum(run(x, known, implementation=implementation) ** 2)))(x)
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))
    if known_share == 0:
        assert not np.any(run(x, known, implementation=implementation))
        assert not np.any(gradient)


@pytest.mark.parametrize(("size", "rows", "window"), [
    ((5, 4), 2, 1), ((4, 7), 3, 3), ((6, 5), 1, 5), ((7, 3), 7, 5), ((3, 4), 9, 3), ((1, 6), 1, 3),
])
def test_no_size_of_block_changes_values_or_gradients(x64, blocks_of, size, rows, window):
    x, known = draw(size, known_share=0.6)
    x[0, 0, 1] = 0  # a vector without a direction ...
    known[0, 0, 1] = 1
    known[1] = 0  # ... and an image without background
    blocks_of(rows)
    found = value_and_gradient(x, known, window=window, implementation="blockwise")
    for reference in ("dense", "conv"):
        expected = value_and_gradient(x, known, window=window, implementation=reference)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10, err_msg=reference)


def test_a_steep_softmax_does_not_underflow(x64):
    """The best that background offers may be far from a query; its weight is still one."""
    x, known = draw((4, 4), channels=2)
    x[..., 0] = np.where(known[..., 0] == 1, 3, -3)
    expected = run(x, known, scale=500.0, implementation="dense")
    with jax.enable_x64(False):
        found = run(np.float32(x), np.float32(known), scale=500.0, implementation="blockwise")
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_bfloat16_rounds_features_but_not_sums(blocks_of):
    """Scores in bfloat16 miss the bound, which one rounding of the features keeps."""
    x, known = (jnp.asarray(a, jnp.bfloat16) for a in draw((32, 32), channels=16, batch=1))
    blocks_of(9)
    found = value_and_gradient(x, known, implementation="blockwise")
    expected = value_and_gradient(*(a.astype(jnp.float32) for a in (x, known)), implementation="dense")
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == jnp.bfloat16
        assert float(jnp.linalg.norm((a - b).ravel()) / jnp.linalg.norm(b.ravel())) < 0.005


def test_blockwise_never_holds_the_scores_of_all_pairs():
    """Neither pass; the dense form needs at least twice 64 MiB here."""
    features = Masked(jnp.zeros((1, 64, 64, 4)), jnp.ones((1, 64, 64, 1)))
    slope = jax.jit(jax.grad(lambda x: jnp.sum(attend(features._replace(x=x), implementation="blockwise") ** 2)))
    assert slope.lower(features.x).compile().memory_analysis().temp_size_in_bytes < 48 * 2**20


def test_blockwise_under_every_transformation(x64, blocks_of):
    """Split over eight devices, mapped, and computed again for the backward pass: the same numbers."""
    x, known = draw((4, 5), batch=8)
    blocks_of(3)
    plain = partial(attend, window=3, implementation="blockwise")
    mesh, one = Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data")
    ways = {
        "shard_map": jax.shard_map(plain, mesh=mesh, in_specs=(Masked(one, one),), out_specs=one),
        "vmap": lambda f: jax.vmap(lambda f: plain(Masked(*(a[None] for a in f)))[0])(f),
        "checkpoint": jax.checkpoint(plain),
    }

    def value_and_slope(way):
        return jax.jit(jax.value_and_grad(lambda x, known: jnp.sum(jnp.sin(way(Masked(x, known))))))(x, known)

    expected = value_and_slope(plain)
    for name, way in ways.items():
        for a, b in zip(value_and_slope(way), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10, err_msg=name)


@each
def test_module_equals_the_equations(x64, implementation):
    """Eq. 12: the features, then what was painted, through SE and a 1x1 convolution, a tenth of it added."""
    x, known = draw((3, 4), channels=4)
    rng = np.random.default_rng(1)
    squeeze, excite, merge, bias = (rng.normal(size=shape) for shape in ((8, 2), (2, 8), (1, 1, 8, 4), (4,)))
    params = {"squeeze_excite": {"squeeze": {"kernel": squeeze}, "excite": {"kernel": excite}},
              "added": {"kernel": merge, "bias": bias}}
    module = PixelwiseAttention(scale=5.0, window=3, implementation=implementation, squeeze=4)

    @jax.jit
    def apply(params, x):
        return module.apply({"params": params}, Masked(x, jnp.asarray(known)))

    u = np.concatenate([x, by_loops(x, known, 5.0, 3)[1] / 9], -1)
    weights = 1 / (1 + np.exp(-np.maximum(u.mean((1, 2)) @ squeeze, 0) @ excite))
    expected = x + (u * weights[:, None, None] @ merge[0, 0] + bias) / 10
    np.testing.assert_allclose(apply(params, x), expected, rtol=1e-10, atol=1e-10)
    check_grads(apply, (params, x), 1, ["rev"])


def test_module_starts_as_the_identity_or_nearly(x64):
    x, known = draw((6, 5), channels=16)
    module = PixelwiseAttention()
    out, _ = module.init_with_output(jax.random.key(0), Masked(jnp.asarray(x), jnp.asarray(known)))
    assert 0 < np.abs(out - x).max() < 0.2 * np.abs(x).max()
