"""Pixelwise attention (Eq. 6-12): both implementations against loops over the equations, and what they may not read."""

from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from mai_jax.nn.attention import PixelwiseAttention, attend, scores
from mai_jax.types import Masked

IMPLEMENTATIONS = ["dense", "conv"]
both = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)


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


@both
@pytest.mark.parametrize("window", [1, 3])
def test_gradients(x64, implementation, window):
    x, known = draw((3, 4), batch=1)
    check_grads(lambda x: run(x, known, scale=3.0, window=window, implementation=implementation), (x,), 1, ["rev"])


@both
def test_a_scaled_copy_of_a_background_pixel_finds_its_original(x64, implementation):
    """Eq. 6 compares directions, and what is painted is the background pixel itself, not its unit vector."""
    x, known = draw((4, 4), batch=1)
    originals, holes = np.argwhere(known[0, ..., 0] == 1), np.argwhere(known[0, ..., 0] == 0)
    for i, hole in enumerate(holes):
        x[0, *hole] = (0.1 + i) * x[0, *originals[i % len(originals)]]
    painted = run(x, known, scale=1e6, window=1, implementation=implementation)
    for i, hole in enumerate(holes):
        np.testing.assert_allclose(painted[0, *hole], x[0, *originals[i % len(originals)]], rtol=1e-9)


@both
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


@both
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


@both
def test_module_equals_the_equations(x64, implementation):
    """Eq. 12: the features, then what was painted, through SE and a 1x1 convolution."""
    x, known = draw((3, 4), channels=4)
    rng = np.random.default_rng(1)
    squeeze, excite, merge, bias = (rng.normal(size=shape) for shape in ((8, 2), (2, 8), (1, 1, 8, 4), (4,)))
    params = {"squeeze_excite": {"squeeze": {"kernel": squeeze}, "excite": {"kernel": excite}},
              "merge": {"kernel": merge, "bias": bias}}
    module = PixelwiseAttention(scale=5.0, window=3, implementation=implementation, squeeze=4)

    @jax.jit
    def apply(params, x):
        return module.apply({"params": params}, Masked(x, jnp.asarray(known)))

    u = np.concatenate([x, by_loops(x, known, 5.0, 3)[1]], -1)
    weights = 1 / (1 + np.exp(-np.maximum(u.mean((1, 2)) @ squeeze, 0) @ excite))
    expected = u * weights[:, None, None] @ merge[0, 0] + bias
    np.testing.assert_allclose(apply(params, x), expected, rtol=1e-10, atol=1e-10)
    check_grads(apply, (params, x), 1, ["rev"])
