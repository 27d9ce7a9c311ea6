"""Squeeze-and-excitation (Eq. 9-11) against NumPy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from mai_jax.nn.squeeze_excite import SqueezeExcite


def draw(channels, reduction, size=(3, 5), batch=2):
    rng = np.random.default_rng(channels)
    hidden = channels // reduction
    params = {"squeeze": {"kernel": rng.normal(size=(channels, hidden))},
              "excite": {"kernel": rng.normal(size=(hidden, channels))}}
    return rng.normal(size=(batch, *size, channels)), params


@partial(jax.jit, static_argnums=0)
def run(reduction, params, u):
    return SqueezeExcite(reduction).apply({"params": params}, u)


@pytest.mark.parametrize(("channels", "reduction"), [(32, 16), (8, 4), (6, 1)])
def test_equals_the_equations(x64, channels, reduction):
    u, params = draw(channels, reduction)
    out = run(reduction, params, u)
    for n in range(len(u)):
        z = np.array([sum(u[n, i, j, c] for i, j in np.ndindex(3, 5)) / 15 for c in range(channels)])
        w = 1 / (1 + np.exp(-np.maximum(z @ params["squeeze"]["kernel"], 0) @ params["excite"]["kernel"]))
        np.testing.assert_allclose(out[n], u[n] * w, rtol=1e-10, atol=1e-10)


def test_parameters_are_two_matrices_without_bias():
    params = jax.eval_shape(SqueezeExcite(16).init, jax.random.key(0), jnp.zeros((1, 2, 2, 64)))["params"]
    assert jax.tree.map(jnp.shape, params) == {"squeeze": {"kernel": (64, 4)}, "excite": {"kernel": (4, 64)}}


def test_gradients(x64):
    u, params = draw(8, 2)
    check_grads(lambda params, u: run(2, params, u), (params, u), 1, ["rev"])
