"""Pixelwise attention (Eq. 6-12): every implementation against loops over the equations, and invariances."""

from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec
from jax.test_util import check_grads

from mai_jax.batch import Masked
from mai_jax.nn import blockwise_attention
from mai_jax.nn.attention import IMPLEMENTATIONS, PixelwiseAttention, attend, scores

each = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)


def draw(size, *, channels=3, valid_share=0.5, batch=2, seed=0):
    rng = np.random.default_rng(seed)
    valid = (rng.random((batch, *size, 1)) < valid_share).astype(float)
    return rng.normal(size=(batch, *size, channels)), valid


@partial(jax.jit, static_argnames=("scale", "window", "implementation"))
def run(x, valid, **settings):
    return attend(Masked(x, valid), **settings)


def by_loops(x, valid, scale, window):
    """Return S' of Eq. 6-8 and the attention output. Keys are the background positions, queries all positions."""
    (b, h, w, _), k = x.shape, (window - 1) // 2
    positions, propagated, out = list(product(range(h), range(w))), np.zeros((b, h, w, h, w)), np.zeros_like(x)
    for n in range(b):
        background = [position for position in positions if valid[n][position] == 1]
        if not background:
            continue
        score = {}  # S* of Eq. 7
        for q in positions:
            similarity = [x[n][q] @ x[n][key] / np.linalg.norm(x[n][q]) / np.linalg.norm(x[n][key])
                          for key in background]
            weights = np.exp(scale * np.array(similarity))
            score |= {(q, key): weight for key, weight in zip(background, weights / weights.sum(), strict=True)}
        for q, key in product(positions, background):
            for i, j in product(range(-k, k + 1), repeat=2):
                shifted = ((q[0] + i, q[1] + j), (key[0] + i, key[1] + j))
                propagated[n][q][key] += score.get(shifted, 0)
            out[n][q] += propagated[n][q][key] * x[n][key]
    return propagated, out


@pytest.fixture
def set_block_rows(monkeypatch):
    """The function that sets the number of query rows of a block."""
    return lambda rows: monkeypatch.setattr(blockwise_attention, "_rows", lambda *_: rows)


def value_and_gradient(x, valid, **settings):
    """Return the attention output and the gradient of its sum with a different weight for every position."""

    @jax.jit  # inside the function, so that no program compiled for another block size is reused
    def both(x, valid):
        out, pull_back = jax.vjp(lambda x: attend(Masked(x, valid), **settings), x)
        weights = jnp.cos(jnp.arange(x.size, dtype=jnp.float32)).reshape(x.shape)
        return out, *pull_back(weights.astype(x.dtype))

    return both(x, valid)


def bits(tree):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


@pytest.mark.parametrize(("size", "window", "scale", "valid_share"), [
    ((4, 5), 1, 10.0, 0.5),
    ((4, 5), 3, 10.0, 0.5),
    ((5, 3), 3, 2.5, 0.8),
    ((3, 6), 5, 10.0, 0.3),
    ((2, 2), 5, 4.0, 0.7),
    ((1, 4), 3, 10.0, 1.0),
])
def test_equals_the_equations(x64, size, window, scale, valid_share):
    x, valid = draw(size, valid_share=valid_share)
    expected_scores, expected = by_loops(x, valid, scale, window)
    found = jax.jit(partial(scores, scale=scale, window=window))(Masked(x, valid))
    np.testing.assert_allclose(found, expected_scores, rtol=1e-10, atol=1e-10)
    for implementation in IMPLEMENTATIONS:
        out = run(x, valid, scale=scale, window=window, implementation=implementation)
        np.testing.assert_allclose(out, expected, rtol=1e-10, atol=1e-10, err_msg=implementation)


@each
@pytest.mark.parametrize("window", [1, 3])
def test_gradients(x64, implementation, window):
    x, valid = draw((3, 4), batch=1)
    check_grads(lambda x: run(x, valid, scale=3.0, window=window, implementation=implementation), (x,), 1, ["rev"])


@each
def test_a_scaled_copy_of_a_background_pixel_attends_to_its_original(x64, implementation):
    """Eq. 6 compares directions; the output is the background pixel itself, not its unit vector."""
    x, valid = draw((4, 4), batch=1)
    originals, holes = np.argwhere(valid[0, ..., 0] == 1), np.argwhere(valid[0, ..., 0] == 0)
    for i, hole in enumerate(holes):
        x[0, *hole] = (0.1 + i) * x[0, *originals[i % len(originals)]]
    out = run(x, valid, scale=1e6, window=1, implementation=implementation)
    for i, hole in enumerate(holes):
        np.testing.assert_allclose(out[0, *hole], x[0, *originals[i % len(originals)]], rtol=1e-9)


@each
@pytest.mark.parametrize("poison", [1e6, np.nan])
def test_a_position_in_the_hole_is_a_query_only(implementation, poison):
    """A changed value changes its own row of scores, and through the shifts of Eq. 8 rows at most k away."""
    x, valid = (a.astype(np.float32) for a in draw((6, 7), valid_share=0.6))
    valid[:, 2, 3] = 0
    poisoned = x.copy()
    poisoned[:, 2, 3] = poison
    far = np.ones((6, 7), bool)
    far[1:4, 2:5] = False

    @jax.jit
    def loss(x):
        return jnp.sum(run(x, valid, implementation=implementation)[:, far] ** 2)

    clean_map, poisoned_map = (np.asarray(run(a, valid, implementation=implementation)) for a in (x, poisoned))
    assert bits(poisoned_map[:, far]) == bits(clean_map[:, far])
    if np.isfinite(poison):  # a NaN query gets a NaN row, and 0 * NaN in the backward pass is NaN
        clean_gradient, poisoned_gradient = (jax.grad(loss)(a) for a in (x, poisoned))
        assert bits(poisoned_gradient) == bits(clean_gradient)
        assert not np.any(clean_gradient[:, 2, 3])


@each
@pytest.mark.parametrize("valid_share", [0.0, 1.0])
def test_all_hole_and_no_hole(implementation, valid_share):
    x, valid = (a.astype(np.float32) for a in draw((4, 5), valid_share=valid_share))
    x[:, 1, 2] = 0  # a zero vector has no direction
    value, gradient = jax.jit(jax.value_and_grad(
        lambda x: jnp.sum(run(x, valid, implementation=implementation) ** 2)))(x)
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))
    if valid_share == 0:
        assert not np.any(run(x, valid, implementation=implementation))
        assert not np.any(gradient)


@pytest.mark.parametrize(("size", "rows", "window"), [
    ((5, 4), 2, 1), ((4, 7), 3, 3), ((6, 5), 1, 5), ((7, 3), 7, 5), ((3, 4), 9, 3), ((1, 6), 1, 3),
])
def test_values_and_gradients_do_not_depend_on_the_block_size(x64, set_block_rows, size, rows, window):
    x, valid = draw(size, valid_share=0.6)
    x[0, 0, 1] = 0  # a zero vector as a key ...
    valid[0, 0, 1] = 1
    valid[1] = 0  # ... and an image without background
    set_block_rows(rows)
    found = value_and_gradient(x, valid, window=window, implementation="blockwise")
    for reference in ("dense", "conv"):
        expected = value_and_gradient(x, valid, window=window, implementation=reference)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10, err_msg=reference)


def test_a_steep_softmax_does_not_underflow(x64):
    """The largest similarity may be far below 1; the sum of the weights is still 1."""
    x, valid = draw((4, 4), channels=2)
    x[..., 0] = np.where(valid[..., 0] == 1, 3, -3)
    expected = run(x, valid, scale=500.0, implementation="dense")
    with jax.enable_x64(False):
        found = run(np.float32(x), np.float32(valid), scale=500.0, implementation="blockwise")
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_bfloat16_rounds_features_but_not_sums(set_block_rows):
    """The bound holds if only the features are rounded, and not if the scores are bfloat16."""
    x, valid = (jnp.asarray(a, jnp.bfloat16) for a in draw((32, 32), channels=16, batch=1))
    set_block_rows(9)
    found = value_and_gradient(x, valid, implementation="blockwise")
    expected = value_and_gradient(*(a.astype(jnp.float32) for a in (x, valid)), implementation="dense")
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == jnp.bfloat16
        assert float(jnp.linalg.norm((a - b).ravel()) / jnp.linalg.norm(b.ravel())) < 0.005


def test_blockwise_never_stores_the_scores_of_all_pairs():
    """In neither pass; the dense form needs at least twice 64 MiB here."""
    features = Masked(jnp.zeros((1, 64, 64, 4)), jnp.ones((1, 64, 64, 1)))
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(attend(features._replace(x=x), implementation="blockwise") ** 2)))
    assert gradient.lower(features.x).compile().memory_analysis().temp_size_in_bytes < 48 * 2**20


def test_on_a_gpu_a_map_of_64_x_64_is_one_block():
    """The positions of the block's rows and of one row above and below, by those of the keys and of the margins."""
    features = Masked(jnp.zeros((1, 64, 64, 4)), jnp.ones((1, 64, 64, 1)))
    traced = jax.jit(jax.grad(lambda x: jnp.sum(attend(features._replace(x=x)) ** 2))).trace(features.x)
    all_pairs = {platform: "4292x4292" in traced.lower(lowering_platforms=(platform,)).as_text()
                 for platform in ("cuda", "tpu", "cpu")}  # fmt: skip
    assert all_pairs == {"cuda": True, "tpu": False, "cpu": False}


def test_blockwise_under_every_transformation(x64, set_block_rows):
    """Sharded over eight devices, vmapped, and rematerialized: the same numbers."""
    x, valid = draw((4, 5), batch=8)
    set_block_rows(3)
    plain = partial(attend, window=3, implementation="blockwise")
    mesh, sharded = Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data")
    transformed = {
        "shard_map": jax.shard_map(plain, mesh=mesh, in_specs=(Masked(sharded, sharded),), out_specs=sharded),
        "vmap": lambda f: jax.vmap(lambda f: plain(Masked(*(a[None] for a in f)))[0])(f),
        "checkpoint": jax.checkpoint(plain),
    }

    def value_and_grad(attend):
        return jax.jit(jax.value_and_grad(lambda x, valid: jnp.sum(jnp.sin(attend(Masked(x, valid))))))(x, valid)

    expected = value_and_grad(plain)
    for name, function in transformed.items():
        for a, b in zip(value_and_grad(function), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("merge", ["published", "residual"])
@each
def test_module_equals_the_equations(x64, implementation, merge):
    """Eq. 12, and the form that adds a tenth of the merge to the features."""
    x, valid = draw((3, 4), channels=4)
    rng = np.random.default_rng(1)
    squeeze, excite, kernel, bias = (rng.normal(size=shape) for shape in ((8, 2), (2, 8), (1, 1, 8, 4), (4,)))
    params = {"squeeze_excite": {"squeeze": {"kernel": squeeze}, "excite": {"kernel": excite}},
              {"published": "merge", "residual": "added"}[merge]: {"kernel": kernel, "bias": bias}}
    module = PixelwiseAttention(scale=5.0, window=3, implementation=implementation, se_reduction=4, merge=merge)

    @jax.jit
    def apply(params, x):
        return module.apply({"params": params}, Masked(x, jnp.asarray(valid)))

    phi_att = by_loops(x, valid, 5.0, 3)[1]
    u = np.concatenate([x, phi_att if merge == "published" else phi_att / 9], -1)
    weights = 1 / (1 + np.exp(-np.maximum(u.mean((1, 2)) @ squeeze, 0) @ excite))
    expected = u * weights[:, None, None] @ kernel[0, 0] + bias
    if merge == "residual":
        expected = x + expected / 10
    np.testing.assert_allclose(apply(params, x), expected, rtol=1e-10, atol=1e-10)
    check_grads(apply, (params, x), 1, ["rev"])


@pytest.mark.parametrize("merge", ["published", "residual"])
def test_module_starts_close_to_the_identity(x64, merge):
    x, valid = draw((6, 5), channels=16)
    module = PixelwiseAttention(merge=merge)
    out, _ = module.init_with_output(jax.random.key(0), Masked(jnp.asarray(x), jnp.asarray(valid)))
    assert 0 < np.abs(out - x).max() < 0.2 * np.abs(x).max()


def test_an_unknown_merge_is_refused():
    x, valid = draw((2, 2), channels=4)
    with pytest.raises(ValueError, match="merge='sum'"):
        PixelwiseAttention(merge="sum").init(jax.random.key(0), Masked(jnp.asarray(x), jnp.asarray(valid)))
