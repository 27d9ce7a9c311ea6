"""Region-wise normalisation: given and missing positions never see each other's statistics."""

import jax
import jax.numpy as jnp
import numpy as np

from mai_jax.nn.normalisation import RegionNorm

RNG = np.random.default_rng(0)
X = RNG.normal(3, 2, (2, 6, 8, 5)).astype(np.float32)
KNOWN = (RNG.random((2, 6, 8, 1)) < 0.6).astype(np.float32)


def apply(x, known, variables=None, *, running=False):
    norm, (x, known) = RegionNorm(use_running_average=running), map(jnp.asarray, (x, known))
    variables = variables or norm.init(jax.random.key(0), x, known)
    return norm.apply(variables, x, known, mutable=["batch_stats"])


def test_each_region_has_its_own_moments():
    out, _ = apply(X, KNOWN)
    for inside in (KNOWN[..., 0] > 0, KNOWN[..., 0] == 0):
        np.testing.assert_allclose(np.asarray(out)[inside].mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(np.asarray(out)[inside].std(0), 1, atol=1e-4)


def test_one_region_does_not_feel_the_other():
    other = np.where(KNOWN > 0, X, 100 * X - 7)
    (a, _), (b, _) = apply(X, KNOWN), apply(other, KNOWN)
    np.testing.assert_array_equal(np.where(KNOWN > 0, a, 0), np.where(KNOWN > 0, b, 0))


def test_running_statistics_move_only_where_there_is_a_region():
    _, moved = apply(X, np.ones_like(KNOWN))
    stats = moved["batch_stats"]
    np.testing.assert_allclose(stats["known_mean"], 0.1 * X.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(stats["known_var"], 0.9 + 0.1 * X.var((0, 1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(stats["hole_mean"], 0)
    np.testing.assert_array_equal(stats["hole_var"], 1)


def test_an_empty_region_has_a_gradient():
    def loss(x):
        return jnp.sum(jnp.square(apply(x, np.zeros_like(KNOWN))[0]))

    assert np.isfinite(jax.grad(loss)(X)).all()


def test_what_it_learnt_is_what_it_applies():
    norm, x, known = RegionNorm(use_running_average=False), jnp.asarray(X), jnp.asarray(KNOWN)
    variables = norm.init(jax.random.key(0), x, known)
    for _ in range(200):
        variables |= norm.apply(variables, x, known, mutable=["batch_stats"])[1]
    trained, _ = apply(X, KNOWN)
    applied, _ = apply(X, KNOWN, variables, running=True)
    np.testing.assert_allclose(applied, trained, atol=1e-4)
