"""Partial convolution (Eq. 1-5) against loops over the equations and the usual implementation; invariances."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from mai_jax.batch import Masked
from mai_jax.nn.partial_conv import PartialConv, UpsamplePartialConv

# kernel, stride, (height, width), channels of each input
CASES = [
    (1, 1, (3, 4), (2,)),
    (3, 1, (5, 7), (1,)),
    (3, 2, (6, 5), (3,)),
    (3, 2, (1, 1), (2,)),
    (5, 2, (7, 6), (3,)),
    (7, 2, (4, 9), (2,)),
    (3, 1, (5, 6), (4, 1)),
    (5, 2, (6, 7), (1, 3)),
]


def draw(size, channels, *, valid_share=0.2, batch=2, features=4, kernel=3, seed=0):
    """Return inputs, a `valid` for each, and parameters with a nonzero bias; NumPy, float64."""
    rng = np.random.default_rng(seed)
    xs = [rng.normal(size=(batch, *size, c)) for c in channels]
    valids = [(rng.random((batch, *size, 1)) < valid_share).astype(float) for _ in channels]
    params = {"kernel": rng.normal(size=(kernel, kernel, sum(channels), features)), "bias": rng.normal(size=features)}
    return xs, valids, params


@partial(jax.jit, static_argnums=0)
def run(layer, params, xs, valids):
    params = {name: params[name] for name in (("kernel", "bias") if layer.use_bias else ("kernel",))}
    return layer.apply({"params": params}, *map(Masked, xs, valids))


def by_loops(xs, valids, params, stride):
    """Return Eq. 1-5; the sampling grid of `M` has a cell per channel, and positions outside the map are not valid."""
    kernel, bias = params["kernel"], params["bias"]
    k, (b, h, w, _) = len(kernel), xs[0].shape
    out_h, out_w = -(-h // stride), -(-w // stride)
    out, out_valid = np.zeros((b, out_h, out_w, len(bias))), np.zeros((b, out_h, out_w, 1))
    for n, i, j in np.ndindex(b, out_h, out_w):
        total, conv = 0.0, np.zeros(len(bias))
        for di, dj in np.ndindex(k, k):
            y, x = i * stride + di - k // 2, j * stride + dj - k // 2
            if not (0 <= y < h and 0 <= x < w):
                continue
            row = 0
            for feature, valid in zip(xs, valids, strict=True):
                for c in range(feature.shape[-1]):
                    total += valid[n, y, x, 0]
                    conv += kernel[di, dj, row] * feature[n, y, x, c] * valid[n, y, x, 0]
                    row += 1
        if total > 0:
            out[n, i, j] = conv * (k * k * kernel.shape[2] / total) + bias
            out_valid[n, i, j] = 1
    return out, out_valid


def with_channel_masks(xs, valids, params, stride):
    """Return the usual implementation: a convolution with ones of a mask with as many channels as the features."""
    kernel, bias = params["kernel"], params["bias"]
    k = len(kernel)
    mask = np.concatenate([np.broadcast_to(valid, x.shape) for x, valid in zip(xs, valids, strict=True)], -1)

    def conv(x, weights):
        x = np.pad(x, ((0, 0), (k // 2, k // 2), (k // 2, k // 2), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), (1, 2))[:, ::stride, ::stride]
        return np.einsum("bhwcij,ijco->bhwo", windows, weights)

    coverage = conv(mask, np.ones_like(kernel))
    updated = np.clip(coverage, 0, 1)
    ratio = kernel[..., 0].size / (coverage + 1e-8) * updated
    return (conv(np.concatenate(xs, -1) * mask, kernel) * ratio + bias) * updated, updated[..., :1]


def bits(tree):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(("kernel", "stride", "size", "channels"), CASES)
def test_equals_the_equations(x64, kernel, stride, size, channels, use_bias):
    xs, valids, params = draw(size, channels, kernel=kernel)
    if not use_bias:
        params["bias"][:] = 0
    out = run(PartialConv(4, kernel, stride, use_bias), params, xs, valids)
    expected, expected_valid = by_loops(xs, valids, params, stride)
    np.testing.assert_allclose(out.x, expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(out.valid, expected_valid)
    usual, _ = with_channel_masks(xs, valids, params, stride)
    np.testing.assert_allclose(out.x, usual, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("use_bias", "names"), [(True, {"kernel", "bias"}), (False, {"kernel"})])
def test_parameters_have_the_documented_names_and_shapes(use_bias, names):
    inputs = [Masked(jnp.zeros((1, 4, 4, c)), jnp.ones((1, 4, 4, 1))) for c in (3, 2)]
    params = jax.eval_shape(PartialConv(6, 5, 2, use_bias).init, jax.random.key(0), *inputs)["params"]
    assert set(params) == names
    assert params["kernel"].shape == (5, 5, 5, 6)


def test_gradients(x64):
    xs, valids, params = draw((4, 5), (2, 1))
    check_grads(lambda params, *xs: run(PartialConv(4, 3, 2), params, xs, valids).x, (params, *xs), 1, ["rev"])


@pytest.mark.parametrize("poison", [1e6, -np.inf, np.nan])
def test_the_hole_is_never_read(poison):
    layer = PartialConv(4, 3, 2)
    xs, valids, params = jax.tree.map(lambda a: a.astype(np.float32), draw((6, 7), (3, 2)))
    poisoned = [np.where(valid > 0, x, np.float32(poison)) for x, valid in zip(xs, valids, strict=True)]

    def loss(params, xs):
        return jnp.sum(run(layer, params, xs, valids).x ** 2)

    assert bits(run(layer, params, poisoned, valids)) == bits(run(layer, params, xs, valids))
    gradients, poisoned_gradients = (jax.grad(loss, (0, 1))(params, x) for x in (xs, poisoned))
    assert bits(poisoned_gradients) == bits(gradients)
    for gradient, valid in zip(gradients[1], valids, strict=True):
        assert not np.any(np.where(valid > 0, 0, gradient))
        assert np.any(gradient)


@pytest.mark.parametrize("valid_share", [0.0, 1.0])
def test_all_hole_and_no_hole(x64, valid_share):
    xs, valids, params = draw((6, 7), (2, 3), valid_share=valid_share)
    layer = PartialConv(4, 3)
    out = run(layer, params, xs, valids)
    gradients = jax.grad(lambda *args: jnp.sum(run(layer, *args).x ** 2), (0, 1, 2))(params, xs, valids)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((out, gradients)))
    np.testing.assert_array_equal(out.valid, np.full_like(out.valid, valid_share))
    if valid_share == 0:
        assert not any(np.any(leaf) for leaf in jax.tree.leaves((out.x, gradients)))
    else:
        plain = jax.lax.conv_general_dilated(
            jnp.concatenate(xs, -1), params["kernel"], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        np.testing.assert_allclose(out.x[:, 1:-1, 1:-1], plain + params["bias"], rtol=1e-10, atol=1e-10)


def test_an_average_of_a_constant_is_that_constant(x64):
    """Wherever anything is valid, at the border too: the purpose of the renormalization E / M."""
    xs, valids, _ = draw((6, 7), (2, 1), valid_share=0.15)
    params = {"kernel": np.full((5, 5, 3, 1), 1 / 75)}
    out = run(PartialConv(1, 5, use_bias=False), params, [np.full_like(x, 0.7) for x in xs], valids)
    assert 0 < np.mean(out.valid) < 1
    np.testing.assert_allclose(out.x, 0.7 * out.valid, rtol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
def test_padding_is_a_hole(x64, stride):
    """An image padded with hole gives the same numbers, so any size works by padding and cropping."""
    (x,), (valid,), params = draw((6, 8), (2,))
    layer, border = PartialConv(4, 3, stride), ((0, 0), (2, 4), (4, 2), (0, 0))
    small = run(layer, params, [x], [valid])
    large = run(layer, params, [np.pad(x, border, constant_values=9)], [np.pad(valid, border)])
    top, left, (h, w) = 2 // stride, 4 // stride, small.x.shape[1:3]
    for inner, outer in zip(small, large, strict=True):
        np.testing.assert_allclose(outer[:, top : top + h, left : left + w], inner, rtol=1e-12, atol=1e-12)


def test_upsample_partial_conv_equals_partial_conv_of_the_enlarged_map():
    rng = np.random.default_rng(0)
    small, large = (
        Masked(jnp.asarray(rng.normal(size=(1, n, n, c)), jnp.float32),
               jnp.asarray(rng.random((1, n, n, 1)) < 0.3, jnp.float32))
        for n, c in ((4, 3), (8, 2))
    )
    layer = UpsamplePartialConv(5)
    variables = layer.init(jax.random.key(0), small, large)
    enlarged = Masked(*(part.repeat(2, axis=1).repeat(2, axis=2) for part in small))
    found, expected = layer.apply(variables, small, large), PartialConv(5).apply(variables, enlarged, large)
    assert 0 < found.valid.mean() < 1
    np.testing.assert_array_equal(found.valid, expected.valid)
    np.testing.assert_allclose(found.x, expected.x, atol=1e-5)
