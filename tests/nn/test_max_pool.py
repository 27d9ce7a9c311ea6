"""Max pooling equals flax's, gradient included."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax.nn.max_pool import max_pool


@pytest.mark.parametrize("size", [(8, 6), (7, 9), (2, 3)])
def test_equals_flaxs(size):
    levels = np.random.default_rng(0).integers(0, 3, (2, *size, 5))  # few values, so that many are equal
    x = jnp.asarray(levels, jnp.float32)
    pooled, pull_back = jax.vjp(max_pool, x)
    expected, expected_pull_back = jax.vjp(lambda x: nn.max_pool(x, (2, 2), (2, 2)), x)
    np.testing.assert_array_equal(pooled, expected)
    upstream = jnp.asarray(np.random.default_rng(1).normal(size=pooled.shape), jnp.float32)
    np.testing.assert_array_equal(pull_back(upstream)[0], expected_pull_back(upstream)[0])
