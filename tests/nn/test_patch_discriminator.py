"""The discriminator of Table 3 against NumPy, with its kernels divided by their true largest singular value."""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax.nn.patch_discriminator import PatchDiscriminator

STRIDES = (2, 2, 2, 1, 1)


def kernels_of(params):
    """Return the kernels in the order of the layers, in which each takes the channels of the layer before."""
    rest, ordered, channels = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 4], [], 3
    while rest:
        (kernel,) = (leaf for leaf in rest if leaf.shape[2] == channels and leaf.shape[3] != channels)
        rest = [leaf for leaf in rest if leaf is not kernel]
        ordered.append(kernel)
        channels = kernel.shape[3]
    return ordered


def draw(rng, shape):
    """Return normal numbers; the largest singular value of a kernel is at least twice the second, for convergence."""
    if len(shape) < 4:
        return rng.normal(size=shape)
    u, s, v = np.linalg.svd(rng.normal(size=(np.prod(shape[:3]), shape[3])), full_matrices=False)
    s[0] *= 2
    return ((u * s) @ v).reshape(shape)


@pytest.fixture(scope="module")
def converged():
    """A narrow discriminator, images, parameters and statistics after power iteration converged, in float64."""
    with jax.enable_x64(True):
        model, rng = PatchDiscriminator(width=5), np.random.default_rng(0)
        images = jnp.asarray(rng.random((2, 32, 40, 3)))
        variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, update_stats=False))
        variables = jax.tree.map(lambda leaf: jnp.asarray(draw(rng, leaf.shape)), variables)
        params, stats = variables["params"], variables["batch_stats"]

        @jax.jit
        def step(stats):
            variables, images = {"params": params, "batch_stats": stats}, jnp.ones((1, 24, 24, 3))
            return model.apply(variables, images, update_stats=True, mutable=["batch_stats"])[1]["batch_stats"]

        for _ in range(60):
            stats = step(stats)
        yield model, images, params, stats


def test_table_3():
    model = PatchDiscriminator()
    images = jax.ShapeDtypeStruct((2, 256, 256, 3), jnp.float32)
    logits, variables = jax.eval_shape(
        lambda images: model.init_with_output(jax.random.key(0), images, update_stats=False), images)
    assert logits.shape == (2, 30, 30, 1)
    channels = [3, 64, 128, 256, 512, 1]
    assert [kernel.shape for kernel in kernels_of(variables["params"])] == [
        (4, 4, *pair) for pair in pairwise(channels)]


def test_power_iteration_finds_the_largest_singular_value(x64, converged):
    _, _, params, stats = converged
    expected = [np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]
                for kernel in kernels_of(params)]
    found = [leaf.item() for leaf in jax.tree.leaves(stats) if leaf.ndim == 0]
    np.testing.assert_allclose(sorted(found), sorted(expected), rtol=1e-10)


def test_every_kernel_is_applied_with_spectral_norm_one(x64, converged):
    model, images, params, stats = converged
    logits = jax.jit(partial(model.apply, update_stats=False))({"params": params, "batch_stats": stats}, images)
    x, biases = np.asarray(images), {leaf.size: leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 1}
    for layer, (kernel, stride) in enumerate(zip(kernels_of(params), STRIDES, strict=True)):
        kernel = kernel / np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2)
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (4, 4), (1, 2))[:, ::stride, ::stride]
        x = np.einsum("bhwcij,ijco->bhwo", windows, kernel) + biases[kernel.shape[-1]]
        if layer < 4:
            x = np.where(x > 0, x, 0.2 * x)
    np.testing.assert_allclose(logits, x, rtol=1e-10, atol=1e-10)


def test_statistics_change_only_with_update_stats(x64, converged):
    model, images, params, stats = converged
    rng = np.random.default_rng(2)
    start = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), stats)
    variables = {"params": params, "batch_stats": start}
    for update in (False, True):
        apply = jax.jit(partial(model.apply, update_stats=update, mutable=["batch_stats"]))
        after = apply(variables, images)[1]["batch_stats"]
        assert all(np.any(a != b) == update for a, b in zip(*map(jax.tree.leaves, (start, after)), strict=True))


def test_gradient_is_that_of_the_normalized_network(x64, converged):
    """By finite differences through the whole network; the gradient of the singular value is included."""
    model, images, params, stats = converged
    rng = np.random.default_rng(1)
    tangent = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), params)

    @jax.jit
    def loss(params):
        logits = model.apply({"params": params, "batch_stats": stats}, images[:1, :24, :24], update_stats=False)
        return jnp.sum(jnp.sin(logits))

    derivative = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, jax.grad(loss)(params), tangent)))
    plus, minus = (loss(jax.tree.map(lambda p, t, e=e: p + e * t, params, tangent)) for e in (1e-6, -1e-6))
    np.testing.assert_allclose((plus - minus) / 2e-6, derivative, rtol=1e-5)
