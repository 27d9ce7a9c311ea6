"""`complete`, and the run-time check of the shapes in annotations during tests."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax.batch import Batch, complete


def draw(seed=0):
    rng = np.random.default_rng(seed)
    image, raw = (rng.normal(size=(2, 5, 7, 3)).astype(np.float32) for _ in range(2))
    valid = (rng.random((2, 5, 7, 1)) < 0.5).astype(np.float32)
    return Batch(jnp.asarray(image), jnp.asarray(valid)), raw


@pytest.mark.parametrize("poison", [None, 1e30, np.inf, np.nan])
def test_given_pixels_are_kept_bit_for_bit_and_the_hole_is_filled(poison):
    batch, raw = draw()
    batch = batch._replace(image=batch.image.at[:, 0].set(-0.0))  # a sum valid * image + hole * raw would lose the sign
    if poison is not None:
        raw = np.where(batch.valid > 0, np.float32(poison), raw)
    image, valid = np.asarray(complete(jnp.asarray(raw), batch)), np.broadcast_to(batch.valid > 0, raw.shape)
    assert image[valid].tobytes() == np.asarray(batch.image)[valid].tobytes()
    assert image[~valid].tobytes() == raw[~valid].tobytes()


def test_given_pixels_have_no_gradient():
    batch, raw = draw()
    gradient = jax.grad(lambda raw: jnp.sum(complete(raw, batch)))(jnp.asarray(raw))
    np.testing.assert_array_equal(gradient, np.broadcast_to(1 - batch.valid, raw.shape))


def test_a_wrong_shape_raises():
    batch, raw = draw()
    with pytest.raises(Exception, match="Type-check error"):
        complete(jnp.asarray(raw[..., :2]), batch)
