"""The attention kernel of TPUs, interpreted on a CPU: equal to the dense form; and where it is used."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh

from mai_jax.batch import Masked
from mai_jax.nn import attention, pallas_attention, score_chunks

V5E = "TPU v5 lite"


def draw(size, channels=3, valid_share=0.6, dtype=np.float32):
    rng = np.random.default_rng(0)
    valid = (rng.random((1, *size, 1)) < valid_share).astype(dtype)
    return rng.normal(size=(1, *size, channels)).astype(dtype), valid


def value_and_gradient(attend, x, valid):
    """Return the attention output and the gradient of its sum with a different weight for every position."""

    @jax.jit
    def both(x, valid):
        out, pull_back = jax.vjp(lambda x: attend(Masked(x, valid)), x)
        return out, *pull_back(jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape))

    return both(x, valid)


def kernel(features, scale=10.0, window=3):
    """Return `attend` by the interpreted kernel."""
    unit = attention._normalize(features.x)
    values = jnp.where(features.valid > 0, features.x, 0)
    one = partial(pallas_attention.attend, scale, window, 0, True)
    return jax.vmap(one)(unit, values, features.valid[..., 0])


@pytest.fixture
def set_tile(monkeypatch):
    """The function that sets the lanes and sublanes of a register."""
    def set_both(lanes, sublanes):
        monkeypatch.setattr(score_chunks, "LANES", lanes)
        monkeypatch.setattr(score_chunks, "SUBLANES", sublanes)

    return set_both


@pytest.mark.parametrize(("size", "window", "tile", "chunks"), [
    ((7, 4), 5, (8, 8), 4),  # two rows of keys in a chunk, the last half empty; empty queries
    ((5, 4), 3, (4, 4), 5),  # one row, without padding
    ((3, 5), 3, (8, 8), 3),  # one row and empty keys
    ((2, 2), 5, (128, 16), 1),  # a window wider than the map
])  # fmt: skip
def test_equals_the_dense_form(set_tile, size, window, tile, chunks):
    set_tile(*tile)
    x, valid = draw(size)
    x[0, 0, 1] = 0  # a zero vector as a key
    valid[0, 0, 1] = 1
    assert score_chunks.Layout.of(x.shape[1:], window).chunks == chunks
    found = value_and_gradient(partial(kernel, window=window), x, valid)
    expected = value_and_gradient(partial(attention.attend, window=window, implementation="dense"), x, valid)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_without_background_output_and_gradient_are_zero(set_tile):
    set_tile(8, 8)
    x, valid = draw((3, 4), valid_share=0)
    out, gradient = value_and_gradient(kernel, x, valid)
    assert not np.any(out)
    assert not np.any(gradient)


def test_a_nan_in_the_hole_stays_in_the_rows_of_its_window(set_tile):
    set_tile(8, 8)
    x, valid = draw((5, 4))
    valid[:, 1, 1] = 0
    clean = jax.jit(kernel)(Masked(x, valid))
    x[:, 1, 1] = np.nan
    poisoned = jax.jit(kernel)(Masked(x, valid))
    far = np.ones((5, 4), bool)
    far[0:3, 0:3] = False
    assert np.array_equal(np.asarray(poisoned)[:, far], np.asarray(clean)[:, far])


def mesh(device_kind):
    device = AbstractDevice(device_kind=device_kind, num_cores=1, platform="tpu")
    return AbstractMesh((4,), ("data",), abstract_device=device)


@pytest.mark.parametrize(("device_kind", "batch", "size", "dtype", "scale", "used"), [
    (V5E, 8, 64, jnp.bfloat16, 10.0, True),
    (V5E, 8, 128, jnp.float32, 10.0, True),  # 512 px
    ("TPU v5", 8, 128, jnp.float32, 10.0, False),  # has half as much VMEM
    ("cpu", 8, 64, jnp.float32, 10.0, False),
    (V5E, 8, 256, jnp.float32, 10.0, False),
    (V5E, 6, 64, jnp.float32, 10.0, False),  # not divided evenly by four chips
    (V5E, 8, 64, jnp.float32, 50.0, False),
])  # fmt: skip
def test_usable_on_tpus_where_a_map_fits(device_kind, batch, size, dtype, scale, used):
    with jax.sharding.use_abstract_mesh(mesh(device_kind)):
        assert (score_chunks.usable_memory((batch, size, size, 128), dtype, scale, 3) > 0) == used


def test_without_a_known_mesh_the_kernel_is_not_used():
    assert score_chunks.usable_memory((8, 64, 64, 128), jnp.bfloat16, 10.0, 3) == 0


@pytest.mark.parametrize(("implementation", "kernels"), [("blockwise", 2), ("dense", 0)])
def test_on_tpus_blockwise_is_two_kernels(implementation, kernels):
    """The forward and the backward pass."""
    features = Masked(*(jax.ShapeDtypeStruct((4, 16, 16, c), jnp.bfloat16) for c in (128, 1)))

    def loss(x, valid):
        with jax.sharding.use_abstract_mesh(mesh(V5E)):
            return jnp.sum(attention.attend(Masked(x, valid), implementation=implementation).astype(float))

    jaxpr = str(jax.make_jaxpr(jax.grad(loss))(*features))
    assert jaxpr.count("pallas_call[") == kernels
