"""Losses and training of LaMa that need no PyTorch."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax.config import Config
from mai_jax.models import MODELS
from mai_jax.nn import vgg
from mai_jax.training import train_state
from mai_jax.training.train_step import train_step
from tests.models.tiny_lama import KEY, ONE_BLOCK, TINY, draw_batch, losses_and_gradients


def test_the_perceptual_term_is_the_squared_difference_of_features():
    config = dataclasses.replace(TINY, lama=dataclasses.replace(TINY.lama, blocks=0))
    model, batch = MODELS["lama"](config), draw_batch((32, 32))
    (total, aux) = jax.jit(partial(model.loss, "generator"))(**model.init(KEY, batch), batch=batch, outputs={}, rng=KEY)
    predicted, truth = (vgg.VGG16Features(4).apply({"params": model.vgg16_params}, images)
                        for images in (aux.outputs["raw"], batch.image))
    expected = sum(np.mean(np.square(a - b)) for a, b in zip(predicted, truth, strict=True))
    assert expected > 0.01
    np.testing.assert_allclose(aux.logs["perceptual"], expected, rtol=1e-4)
    weights = {"l1": 10, "adversarial": 10, "feature_matching": 100, "perceptual": 1}
    np.testing.assert_allclose(total, sum(weights[name] * term for name, term in aux.logs.items()), rtol=1e-5)


def trained(config: Config, steps: int):
    """Return the logs of steps on one batch, the initial and the last train state."""
    model, batch = MODELS["lama"](config), draw_batch((32, 32))
    start = state = train_state.init_on_devices(model, config)
    optimizers = model.make_optimizers(train_state.learning_rate_schedule(config))
    step = jax.jit(partial(train_step, model, optimizers, lambda mask_bank, rng, n: mask_bank))
    logs = []
    for _ in range(steps):
        state, scalars = step(state, (255 * batch.image).astype(jnp.uint8), batch.valid)
        logs.append(scalars)
    return jax.device_get(logs), start, state


@pytest.fixture(scope="module")
def overfitted():
    return trained(ONE_BLOCK, TINY.main_phase.steps)


def test_training_overfits_one_batch(overfitted):
    """Of the adversarial term and of feature matching, the lower bound depends on the discriminator."""
    logs, _, _ = overfitted
    for term in ("l1", "perceptual"):
        assert logs[-1][f"generator/{term}"] < 0.3 * logs[0][f"generator/{term}"], term
    assert all(np.isfinite(value) for scalars in logs for value in scalars.values())


def test_training_updates_both_networks_from_pytorchs_initial_values(overfitted):
    _, start, end = overfitted
    for before, after in ((start.params, end.params), (start.batch_stats, end.batch_stats)):
        assert jax.tree.structure(before) == jax.tree.structure(after)
        assert all((a != b).any() for a, b in zip(*map(jax.tree.leaves, (before, after)), strict=True))
    generator, discriminator = start.params["generator"], start.params["discriminator"]
    kernels = ((generator["block_1_1"]["global_to_local"], 9 * 24), (generator["up_1"], 9 * 16),  # fan in: outputs
               (discriminator["conv2"], 16 * 4))
    for layer, fan_in in kernels:
        assert 0.9 < jnp.abs(layer["kernel"]).max() * fan_in**0.5 < 1.0001
    assert (start.batch_stats["generator"]["encode"]["local_norm"]["var"] == 1).all()
    assert (generator["encode"]["local_norm"]["scale"] == 1).all()


def test_losses_in_bfloat16_are_close(overfitted):
    logs, start, _ = overfitted
    model = MODELS["lama"](dataclasses.replace(ONE_BLOCK, dtype="bfloat16"))
    terms, _, _ = jax.jit(partial(losses_and_gradients, model))(start.variables, draw_batch((32, 32)))
    assert len(terms) == 6
    for name, value in terms.items():
        assert value.dtype == jnp.float32
        np.testing.assert_allclose(value, logs[0][name], rtol=0.05, err_msg=name)
