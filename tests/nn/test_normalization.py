"""Region-wise normalization: valid positions and hole have independent statistics."""

import jax
import jax.numpy as jnp
import numpy as np

from mai_jax.nn.normalization import RegionNorm

RNG = np.random.default_rng(0)
X = RNG.normal(3, 2, (2, 6, 8, 5)).astype(np.float32)
VALID = (RNG.random((2, 6, 8, 1)) < 0.6).astype(np.float32)


def apply(x, valid, variables=None, *, running=False):
    norm, (x, valid) = RegionNorm(use_running_average=running), map(jnp.asarray, (x, valid))
    variables = variables or norm.init(jax.random.key(0), x, valid)
    return norm.apply(variables, x, valid, mutable=["batch_stats"])


def test_each_region_has_its_own_moments():
    out, _ = apply(X, VALID)
    for inside in (VALID[..., 0] > 0, VALID[..., 0] == 0):
        np.testing.assert_allclose(np.asarray(out)[inside].mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(np.asarray(out)[inside].std(0), 1, atol=1e-4)


def test_regions_are_independent():
    other = np.where(VALID > 0, X, 100 * X - 7)
    (a, _), (b, _) = apply(X, VALID), apply(other, VALID)
    np.testing.assert_array_equal(np.where(VALID > 0, a, 0), np.where(VALID > 0, b, 0))


def test_running_statistics_of_an_empty_region_do_not_change():
    _, updated = apply(X, np.ones_like(VALID))
    stats = updated["batch_stats"]
    np.testing.assert_allclose(stats["valid_mean"], 0.1 * X.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(stats["valid_var"], 0.9 + 0.1 * X.var((0, 1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(stats["hole_mean"], 0)
    np.testing.assert_array_equal(stats["hole_var"], 1)


def test_the_gradient_with_an_empty_region_is_finite():
    def loss(x):
        return jnp.sum(jnp.square(apply(x, np.zeros_like(VALID))[0]))

    assert np.isfinite(jax.grad(loss)(X)).all()


def test_running_statistics_converge_to_the_batchs():
    norm, x, valid = RegionNorm(use_running_average=False), jnp.asarray(X), jnp.asarray(VALID)
    variables = norm.init(jax.random.key(0), x, valid)
    for _ in range(200):
        variables |= norm.apply(variables, x, valid, mutable=["batch_stats"])[1]
    trained, _ = apply(X, VALID)
    applied, _ = apply(X, VALID, variables, running=True)
    np.testing.assert_allclose(applied, trained, atol=1e-4)
