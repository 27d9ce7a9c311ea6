"""`complete`, and that the shapes in the annotations are checked while the tests run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax.types import Batch, complete


def draw(seed=0):
    rng = np.random.default_rng(seed)
    image, raw = (rng.normal(size=(2, 5, 7, 3)).astype(np.float32) for _ in range(2))
    known = (rng.random((2, 5, 7, 1)) < 0.5).astype(np.float32)
    return Batch(jnp.asarray(image), jnp.asarray(known)), raw


@pytest.mark.parametrize("poison", [None, 1e30, np.inf, np.nan])
def test_given_pixels_pass_bit_for_bit_and_the_hole_is_painted(poison):
    batch, raw = draw()
    batch = batch._replace(image=batch.image.at[:, 0].set(-0.0))  # a sum known * image + hole * raw would lose the sign
    if poison is not None:
        raw = np.where(batch.known > 0, np.float32(poison), raw)
    image, known = np.asarray(complete(jnp.asarray(raw), batch)), np.broadcast_to(batch.known > 0, raw.shape)
    assert image[known].tobytes() == np.asarray(batch.image)[known].tobytes()
    assert image[~known].tobytes() == raw[~known].tobytes()


def test_no_gradient_reaches_a_given_pixel():
    batch, raw = draw()
    gradient = jax.grad(lambda raw: jnp.sum(complete(raw, batch)))(jnp.asarray(raw))
    np.testing.assert_array_equal(gradient, np.broadcast_to(1 - batch.known, raw.shape))


def test_a_wrong_shape_is_caught_by_the_annotation():
    batch, raw = draw()
    with pytest.raises(Exception, match="Type-check error"):
        complete(jnp.asarray(raw[..., :2]), batch)
