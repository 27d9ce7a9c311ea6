"""Every implementation of the convolution equals the general one, gradients included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax.nn.convolution import LARGE, SMALL, convolve, convolve_enlarged, enlarge, for_linen, window_sum


def general(x, kernel, stride, padding):
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (stride,) * 2, [(padding,) * 2] * 2, dimension_numbers=numbers)


def draw(*shapes):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=shape)) for shape in shapes]


def assert_same(function, reference, *operands):
    """Assert that results and gradients are equal up to rounding."""
    result, pull_back = jax.vjp(function, *operands)
    expected, reference_pull_back = jax.vjp(reference, *operands)
    (upstream,) = draw(expected.shape)
    for a, b in zip((result, *pull_back(upstream)), (expected, *reference_pull_back(upstream)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [
        ((1, 1), 3, 1, 1), ((2, 2), 3, 2, 1), ((3, 8), 3, 1, 1), ((15, 16), 3, 2, 1),  # products
        ((18, 34), 3, 2, 1), ((20, 18), 5, 2, 2), ((18, 22), 7, 2, 3), ((20, 18), 4, 2, 1),  # phases
        ((9, 3), 3, 1, 1), ((17, 20), 4, 2, 1), ((20, 18), 1, 2, 0), ((12, 12), 4, 1, 1),  # the general form
    ],
)  # fmt: skip
def test_equals_the_general_form(x64, size, kernel, stride, padding):
    x, weights = draw((2, *size, 5), (kernel, kernel, 5, 3))
    assert_same(lambda *args: convolve(*args, stride, padding), lambda *args: general(*args, stride, padding),
                x, weights)


@pytest.mark.parametrize("size", [(LARGE, LARGE + 3), (SMALL, SMALL), (3, 5)])
def test_enlarged_equals_the_convolution_of_the_enlarged_map(x64, size):
    x, skip, weights = draw((2, *size, 5), (2, 2 * size[0], 2 * size[1], 2), (3, 3, 7, 3))
    assert_same(convolve_enlarged, lambda x, skip, weights: general(
        jnp.concatenate([enlarge(x), skip], -1), weights, 1, 1), x, skip, weights)


def test_enlarge_repeats_rows_and_columns():
    x = jnp.arange(4.0).reshape(1, 2, 2, 1)
    np.testing.assert_array_equal(enlarge(x)[0, :, :, 0], np.kron([[0, 1], [2, 3]], np.ones((2, 2))))


@pytest.mark.parametrize(("size", "window", "stride"), [((9, 6), 3, 1), ((16, 12), 7, 2), ((1, 2), 5, 2)])
def test_a_window_sum_is_the_convolution_with_ones(x64, size, window, stride):
    (x,) = draw((2, *size, 1))
    assert_same(lambda x: window_sum(x, window, stride),
                lambda x: general(x, jnp.ones((window, window, 1, 1)), stride, window // 2), x)


def lowered_for_a_tpu(f, *operands):
    """Return the lowered text of `f` and its gradient."""
    gradient = jax.jit(jax.value_and_grad(lambda *args: (f(*args) ** 2).sum(), range(len(operands))))
    return gradient.trace(*operands).lower(lowering_platforms=("tpu",)).as_text()


@pytest.mark.parametrize("size", [4, 18])
def test_other_platforms_run_the_general_form(size):
    x, kernel = jnp.ones((1, size, size, 3)), jnp.ones((3, 3, 3, 2))
    text = lowered_for_a_tpu(lambda *args: convolve(*args, 2, 1), x, kernel)
    assert text.count("stablehlo.convolution") == 3
    assert "dot_general" not in text


def test_other_platforms_convolve_the_enlarged_map():
    operands = jnp.ones((1, LARGE, LARGE, 3)), jnp.ones((1, 2 * LARGE, 2 * LARGE, 1)), jnp.ones((3, 3, 4, 2))
    assert lowered_for_a_tpu(convolve_enlarged, *operands).count("stablehlo.convolution") == 3


def test_for_linen_equals_convolve(x64):
    x, kernel = draw((2, 9, 9, 5), (4, 4, 5, 3))
    np.testing.assert_array_equal(for_linen(x, kernel, (2, 2), [(1, 1), (1, 1)], lhs_dilation=(1, 1)),
                                  convolve(x, kernel, 2, 1))
