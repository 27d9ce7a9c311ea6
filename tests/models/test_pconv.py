"""The U-Net that PConv and MAI share: its settings change what they should and nothing else."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax.batch import Batch
from mai_jax.config import VGG16, Config, Discriminator, Generator, Phase
from mai_jax.models import MODELS, unet
from mai_jax.nn.smooth_fill import smooth_fill

TINY = Config(image_size=32, batch_size=2, generator=Generator(width=8, se_reduction=4),
              discriminator=Discriminator(width=4),
              vgg16=VGG16(weights="random", width=4), main_phase=Phase(steps=1))
RNG = np.random.default_rng(0)
IMAGE = RNG.random((2, 32, 32, 3)).astype(np.float32)
VALID = np.ones((2, 32, 32, 1), np.float32)
VALID[:, 8:20, 10:25] = 0
BATCH = Batch(jnp.asarray(IMAGE), jnp.asarray(VALID))


def generator(**fields):
    return dataclasses.replace(TINY, generator=dataclasses.replace(TINY.generator, **fields))


def initial_variables(config, batch=BATCH):
    return jax.jit(MODELS[config.method](config).init)(jax.random.key(0), batch)


def loss_gradients_and_completion(config, batch=BATCH):
    """Return (loss, gradients, Completion) of the generator at its initial parameters."""
    model, variables = MODELS[config.method](config), initial_variables(config, batch)
    params, batch_stats = variables["params"], variables["batch_stats"]

    def loss(own):
        return model.loss("generator", {**params, "generator": own}, batch_stats, batch, {}, jax.random.key(0))[0]

    total, gradients = jax.jit(jax.value_and_grad(loss))(params["generator"])
    return total, gradients, jax.jit(model.predict)(variables, batch, jax.random.key(0))


def test_pconv_is_mai_without_attention_and_discriminator():
    mai, pconv = (jax.eval_shape(MODELS[name](config).init, jax.random.key(0), BATCH)["params"]["generator"]
                  for name, config in (("mai", generator(attention_stages=())), ("pconv", TINY)))
    assert jax.tree.map(jnp.shape, mai) == jax.tree.map(jnp.shape, pconv)


@pytest.mark.parametrize("stages", [(), (1,), (2,), (1, 2)])
def test_attention_exists_in_the_configured_stages_only(stages):
    model = MODELS["mai"](generator(attention_stages=stages))
    variables = jax.eval_shape(model.init, jax.random.key(0), BATCH)
    expected = {f"attention_{stage}" for stage in stages}
    assert {name for name in variables["params"]["generator"] if name.startswith("attention")} == expected
    assert set(jax.eval_shape(model.predict, variables, BATCH, jax.random.key(0)).aux) == expected


def test_pconv_does_not_read_the_hole():
    config = dataclasses.replace(TINY, method="pconv")
    variables = initial_variables(config)
    poisoned = BATCH._replace(image=jnp.where(BATCH.valid > 0, BATCH.image, jnp.nan))
    predict = jax.jit(MODELS["pconv"](config).predict)
    np.testing.assert_array_equal(*(predict(variables, batch, jax.random.key(0)).raw for batch in (BATCH, poisoned)))


def test_with_a_smooth_fill_the_first_prediction_is_that_fill():
    config = dataclasses.replace(TINY, method="pconv", generator=dataclasses.replace(TINY.generator, smooth_fill=True))
    variables = initial_variables(config)
    poisoned = BATCH._replace(image=jnp.where(BATCH.valid > 0, BATCH.image, jnp.nan))
    raw = jax.jit(MODELS["pconv"](config).predict)(variables, poisoned, jax.random.key(0)).raw
    np.testing.assert_allclose(raw, smooth_fill(*BATCH, levels=5), atol=1e-6)


def test_the_predicted_difference_depends_on_the_smooth_fill(monkeypatch):
    config = dataclasses.replace(TINY, method="pconv", generator=dataclasses.replace(TINY.generator, smooth_fill=True))
    variables = initial_variables(config)
    decode_1 = variables["params"]["generator"]["decode_1"]
    decode_1["kernel"] = jax.random.normal(jax.random.key(0), decode_1["kernel"].shape)
    batch = BATCH._replace(valid=jnp.zeros_like(BATCH.valid))  # seen through partial convolutions, nothing would remain

    def difference(fill):
        monkeypatch.setattr(unet, "smooth_fill", lambda *_: fill)
        return MODELS["pconv"](config).predict(variables, batch, jax.random.key(0)).raw - fill

    dark, bright = (difference(jnp.full_like(BATCH.image, level)) for level in (0.1, 0.9))
    assert float(jnp.abs(dark - bright).mean()) > 0.1


@pytest.mark.parametrize("method", ["mai", "pconv"])
def test_rematerialization_changes_no_number(x64, method):
    batch = Batch(*(jnp.asarray(part, float) for part in BATCH))
    plain, rematerialized = (loss_gradients_and_completion(dataclasses.replace(TINY, method=method, remat=remat), batch)
                             for remat in (False, True))
    for a, b in zip(*map(jax.tree.leaves, (plain, rematerialized)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9 * float(jnp.abs(a).max()))


def test_rematerialization_keeps_the_convolutions_only():
    variables = initial_variables(dataclasses.replace(TINY, method="pconv"))

    def operations(remat):
        model = MODELS["pconv"](dataclasses.replace(TINY, method="pconv", remat=remat))
        gradient = jax.grad(lambda own: model.generate({"generator": own}, variables["batch_stats"], BATCH)[0].sum())
        # For a TPU, where every convolution is lowered as a convolution.
        lowered = jax.jit(gradient).trace(variables["params"]["generator"]).lower(lowering_platforms=("tpu",))
        return [lowered.as_text().count(f"stablehlo.{name}") for name in ("convolution", "reduce_window")]

    (kept, sums), (rematerialized, more_sums) = map(operations, (False, True))
    assert kept == rematerialized > 0
    assert more_sums > sums  # the window sums of the masks are recomputed


@pytest.mark.parametrize("norm", ["batch", "region"])
def test_bfloat16_is_close_and_float32_where_required(norm):
    config = generator(norm=norm)
    # Eight images: the innermost map is one pixel, and BatchNorm reduces two values to little more than their sign.
    batch = Batch(*(jnp.concatenate([x, x[:, ::-1], x[:, :, ::-1], x[:, ::-1, ::-1]]) for x in BATCH))
    exact, rounded = (loss_gradients_and_completion(dataclasses.replace(config, dtype=dtype), batch)
                      for dtype in ("float32", "bfloat16"))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(rounded[:2]))
    assert rounded[2].raw.dtype == jnp.float32 and rounded[2].aux["attention_1"].x.dtype == jnp.bfloat16
    np.testing.assert_allclose(rounded[0], exact[0], rtol=0.03)
    prediction, given = (np.where(batch.valid > 0, image, 0) for image in (rounded[2].image, batch.image))
    np.testing.assert_array_equal(prediction, given)
    a, b = (jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(g)]) for g in (exact[1], rounded[1]))
    assert jnp.vdot(a, b) / jnp.linalg.norm(a) / jnp.linalg.norm(b) > 0.95
