"""The trunk and the rival on it: its settings change what they should and nothing else."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax.config import VGG16, Config, Discriminator, Generator, Phase
from mai_jax.models import MODELS
from mai_jax.types import Batch

TINY = Config(image_size=32, batch_size=2, generator=Generator(width=8, squeeze=4),
              discriminator=Discriminator(width=4),
              vgg16=VGG16(weights="random", width=4), train=Phase(steps=1))
RNG = np.random.default_rng(0)
IMAGE = RNG.random((2, 32, 32, 3)).astype(np.float32)
KNOWN = np.ones((2, 32, 32, 1), np.float32)
KNOWN[:, 8:20, 10:25] = 0
BATCH = Batch(jnp.asarray(IMAGE), jnp.asarray(KNOWN))


def generator(**fields):
    return dataclasses.replace(TINY, generator=dataclasses.replace(TINY.generator, **fields))


def first(config, batch=BATCH):
    """The parameters and statistics that training starts from."""
    return jax.jit(MODELS[config.method](config).init)(jax.random.key(0), batch)


def judged(config, batch=BATCH):
    """(loss, gradients, Completion) of the generator at its first parameters."""
    model = MODELS[config.method](config)
    params, stats = first(config, batch)

    def loss(own):
        return model.loss("generator", {**params, "generator": own}, stats, batch, {}, jax.random.key(0))[0]

    total, gradients = jax.jit(jax.value_and_grad(loss))(params["generator"])
    return total, gradients, jax.jit(model.paint)(params, stats, batch, jax.random.key(0))


def test_the_rival_is_the_method_without_attention_and_judge():
    params, _ = jax.eval_shape(MODELS["mai"](generator(attention_stages=())).init, jax.random.key(0), BATCH)
    rival, _ = jax.eval_shape(MODELS["pconv"](TINY).init, jax.random.key(0), BATCH)
    assert jax.tree.map(jnp.shape, params["generator"]) == jax.tree.map(jnp.shape, rival["generator"])


@pytest.mark.parametrize("stages", [(), (1,), (2,), (1, 2)])
def test_attention_stages_come_and_go(stages):
    model = MODELS["mai"](generator(attention_stages=stages))
    params, stats = jax.eval_shape(model.init, jax.random.key(0), BATCH)
    expected = {f"attention_{stage}" for stage in stages}
    assert {name for name in params["generator"] if name.startswith("attention")} == expected
    assert set(jax.eval_shape(model.paint, params, stats, BATCH, jax.random.key(0)).aux) == expected


def test_nothing_in_the_hole_reaches_the_rival():
    config = dataclasses.replace(TINY, method="pconv")
    params, stats = first(config)
    poisoned = BATCH._replace(image=jnp.where(BATCH.known > 0, BATCH.image, jnp.nan))
    paint = jax.jit(MODELS["pconv"](config).paint)
    np.testing.assert_array_equal(*(paint(params, stats, b, jax.random.key(0)).raw for b in (BATCH, poisoned)))


@pytest.mark.parametrize("method", ["mai", "pconv"])
def test_rematerialisation_changes_no_number(x64, method):
    batch = Batch(*(jnp.asarray(part, float) for part in BATCH))
    plain, again = (judged(dataclasses.replace(TINY, method=method, remat=remat), batch) for remat in (False, True))
    for a, b in zip(*map(jax.tree.leaves, (plain, again)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9 * float(jnp.abs(a).max()))


def test_rematerialisation_keeps_the_convolutions_only():
    params, stats = first(dataclasses.replace(TINY, method="pconv"))

    def convolutions(remat):
        model = MODELS["pconv"](dataclasses.replace(TINY, method="pconv", remat=remat))
        gradient = jax.grad(lambda own: model.generate({"generator": own}, stats, BATCH)[0].sum())
        # On a TPU, where no convolution is written as something else.
        lowered = jax.jit(gradient).trace(params["generator"]).lower(lowering_platforms=("tpu",))
        return lowered.as_text().count("stablehlo.convolution")

    # Twice per layer forward: features and coverage. Coverage, one channel, may be computed again; features may not.
    layers = 2 * MODELS["pconv"](TINY).depth
    assert 0 < convolutions(True) - convolutions(False) <= layers


@pytest.mark.parametrize("norm", ["batch", "region"])
def test_bfloat16_is_close_and_keeps_what_must_be_exact(norm):
    config = generator(norm=norm)
    # Eight images: the innermost map is one pixel, and of two values BatchNorm keeps little but the sign.
    batch = Batch(*(jnp.concatenate([x, x[:, ::-1], x[:, :, ::-1], x[:, ::-1, ::-1]]) for x in BATCH))
    exact, rough = (judged(dataclasses.replace(config, dtype=dtype), batch) for dtype in ("float32", "bfloat16"))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(rough[:2]))
    assert rough[2].raw.dtype == jnp.float32 and rough[2].aux["attention_1"].x.dtype == jnp.bfloat16
    np.testing.assert_allclose(rough[0], exact[0], rtol=0.03)
    painted, given = (np.where(batch.known > 0, image, 0) for image in (rough[2].image, batch.image))
    np.testing.assert_array_equal(painted, given)
    a, b = (jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(g)]) for g in (exact[1], rough[1]))
    assert jnp.vdot(a, b) / jnp.linalg.norm(a) / jnp.linalg.norm(b) > 0.95
