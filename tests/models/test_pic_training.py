"""Training of PIC: both networks are updated, one batch is overfitted, and the initial values are the original's."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax.config import PIC, Config, Phase
from mai_jax.models import MODELS
from mai_jax.training import train_state
from mai_jax.training.train_step import train_step

CONFIG = Config(method="pic", image_size=32, batch_size=2, pic=PIC(width=4),
                main_phase=Phase(steps=200, learning_rate=2e-3))  # fmt: skip
STEPS = 100


@pytest.fixture(scope="module")
def trained():
    """The logs of STEPS steps on one batch at 32 px, the initial and the last train state."""
    model, colours = MODELS["pic"](CONFIG), np.random.default_rng(0).random((2, 4, 4, 3))
    images = (255 * jax.image.resize(colours, (2, 32, 32, 3), "bilinear")).astype(jnp.uint8)
    valid = np.ones((2, 32, 32, 1), np.float32)
    valid[0, 3:16, 5:23] = 0
    valid[1, 10:, :16] = 0
    start = state = train_state.init_on_devices(model, CONFIG)
    optimizers = model.make_optimizers(train_state.learning_rate_schedule(CONFIG))
    step = jax.jit(partial(train_step, model, optimizers, lambda mask_bank, rng, n: mask_bank))
    logs = []
    for _ in range(STEPS):
        state, scalars = step(state, images, valid)
        logs.append(scalars)
    return jax.device_get(logs), start, state


def test_training_updates_both_networks_and_everything_stays_finite(trained):
    logs, start, end = trained
    assert all(np.isfinite(value) for scalars in logs for value in scalars.values())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((end.params, end.batch_stats)))
    for network in ("generator", "discriminator"):
        for before, after in ((start.params, end.params), (start.batch_stats, end.batch_stats)):
            assert jax.tree.structure(before) == jax.tree.structure(after)
            changed = [bool((a != b).any()) for a, b in zip(*map(jax.tree.leaves, (before[network], after[network])),
                                                            strict=True)]
            assert np.mean(changed) > 0.8, network


def test_training_overfits_one_batch(trained):
    logs, _, _ = trained
    first, last = logs[0], logs[-1]
    for term in ("total", "reconstructed", "generated"):
        assert last[f"generator/{term}"] < 0.4 * first[f"generator/{term}"], term
    assert last["generator/total"] < 0.2 * first["generator/total"]


def test_initial_parameters_are_pytorchs(trained):
    """Uniform in +-1/sqrt(fan in) for kernels and biases; of a transposed convolution, output channels count.

    The query convolutions, which have no spectral normalization, are orthogonal as in the original.
    """
    _, start, _ = trained
    decoder = start.params["generator"]["decoder"]
    for layer, fan_in in ((decoder["generator"]["conv1"], 9 * 16), (decoder["decoder4"]["conv2"], 9 * 4),
                          (decoder["decoder4"]["bypass"], 9 * 4), (decoder["decoder4"]["conv1"], 9 * 11)):
        values = layer["conv"]["kernel"]
        assert 0.9 < jnp.abs(values).max() * fan_in**0.5 < 1.0001
        np.testing.assert_allclose(values.std(), (3 * fan_in) ** -0.5, rtol=0.15)
        assert 0.1 < jnp.abs(layer["conv"]["bias"]).max() * fan_in**0.5 < 1.0001
    assert decoder["attention"]["gamma"] == decoder["attention"]["alpha"] == 0
    assert (decoder["decoder0"]["norm1"]["scale"] == 1).all() and (decoder["decoder0"]["norm1"]["bias"] == 0).all()
    discriminators = start.params["discriminator"].values()
    for attention in (own["attention"] for own in (decoder, *discriminators)):
        kernel = attention["query"]["kernel"][0, 0]  # as torch.nn.init.orthogonal_(gain=0.02), and no bias
        assert kernel.shape == (16, 4)
        np.testing.assert_allclose(kernel.T @ kernel, 0.02**2 * np.eye(4), atol=1e-8)
        assert (attention["query"]["bias"] == 0).all()
    assert len({float(own["block1"]["conv1"]["conv"]["kernel"][0, 0, 0, 0]) for own in discriminators}) == 2
