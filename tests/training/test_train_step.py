"""Each network is updated by its own loss only, and the number of devices does not change the result."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax.batch import Batch
from mai_jax.config import VGG16, Config, Discriminator, Generator, Phase
from mai_jax.models.mai import MAI
from mai_jax.training import train_state
from mai_jax.training.train_step import data_mesh, make_train_step


def config() -> Config:
    return Config(
        image_size=32, batch_size=8, generator=Generator(width=4, se_reduction=4), discriminator=Discriminator(width=4),
        vgg16=VGG16(weights="random", width=4), main_phase=Phase(steps=4, learning_rate=1e-3),
    )  # fmt: skip


def sample_holes(mask_bank, rng, n):
    return jax.random.bernoulli(rng, 0.6, (n, 32, 32, 1)).astype(jnp.float32)


def photographs(seed: int) -> np.ndarray:
    """Return images that differ strongly between devices, so that statistics per device would be detected."""
    rng = np.random.default_rng(seed)
    return (rng.random((8, 32, 32, 3)) * np.linspace(20, 255, 8)[:, None, None, None]).astype(np.uint8)


def run(devices: int, steps: int):
    """Return the state after `steps` steps, and the scalars of each."""
    step = make_train_step(MAI(config()), config(), sample_holes, data_mesh(jax.devices()[:devices]))
    state, logs = train_state.init_on_devices(MAI(config()), config()), []
    if jax.config.jax_enable_x64:
        double = lambda x: x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x  # noqa: E731
        state = jax.tree.map(double, state)
    for i in range(steps):
        state, scalars = step(state, photographs(i), ())
        logs.append(jax.device_get(scalars))
    return state, logs


def numbers(tree) -> list:
    return [leaf for leaf in jax.tree.leaves(tree) if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)]


def test_one_and_eight_devices_give_the_same_losses_parameters_and_statistics(x64):
    (one, one_logs), (eight, eight_logs) = run(1, 3), run(8, 3)
    for a, b in zip(*map(numbers, ((one, one_logs), (eight, eight_logs))), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.fixture(scope="module")
def before():
    return train_state.init_on_devices(MAI(config()), config())


@pytest.fixture(scope="module")
def after_and_logs():
    return run(1, 1)


def test_both_networks_are_updated_and_the_step_is_counted(before, after_and_logs):
    after, logs = after_and_logs
    assert after.step == 1
    for network in MAI.networks:
        old, new = jax.tree.leaves(before.params[network]), jax.tree.leaves(after.params[network])
        assert all((a != b).any() for a, b in zip(old, new, strict=True)), network
    assert {"generator/hole", "generator/style", "discriminator/adversarial", "hole_ratio"} <= logs[0].keys()


def test_each_network_is_updated_along_its_own_gradient_only(before, after_and_logs):
    """Each network is updated by Adam with the gradient of its own loss at the old parameters; no gradient leaks."""
    after, _ = after_and_logs
    model = MAI(config())
    rng = jax.random.split(jax.random.fold_in(before.rng, 0), 3)[0]
    image = jnp.asarray(photographs(0)).astype(float) / 255
    batch = Batch(image, sample_holes((), rng, 8))

    def total(params, network):
        generator, aux = model.loss("generator", params, before.batch_stats, batch, {}, rng)
        outputs = jax.lax.stop_gradient(aux.outputs)
        discriminator, _ = model.loss("discriminator", params, before.batch_stats, batch, outputs, rng)
        return {"generator": generator, "discriminator": discriminator}[network]

    @jax.jit
    def gradients_of(params):
        return {network: jax.grad(total)(params, network) for network in MAI.networks}

    gradients = gradients_of(before.params)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradients["discriminator"]["generator"]))
    tx = model.make_optimizers(train_state.learning_rate_schedule(config()))
    for network in MAI.networks:
        updates, _ = tx[network].update(gradients[network][network], before.opt_state[network])
        expected = jax.tree.map(lambda p, u: p + u, before.params[network], updates)
        for a, b in zip(*map(jax.tree.leaves, (expected, after.params[network])), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
