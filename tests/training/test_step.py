"""Players move only themselves, and the number of devices changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax.config import VGG16, Config, Discriminator, Generator, Phase
from mai_jax.models.mai import MAI
from mai_jax.training import state as state_lib
from mai_jax.training.step import compile_step, data_mesh
from mai_jax.types import Batch


def config() -> Config:
    return Config(
        image_size=32, batch_size=8, generator=Generator(width=4, squeeze=4), discriminator=Discriminator(width=4),
        vgg16=VGG16(weights="random", width=4), train=Phase(steps=4, learning_rate=1e-3),
    )  # fmt: skip


def scatter(bank, key, n):
    return jax.random.bernoulli(key, 0.6, (n, 32, 32, 1)).astype(jnp.float32)


def photographs(seed: int) -> np.ndarray:
    """Strongly different from device to device, so that statistics per device would show."""
    rng = np.random.default_rng(seed)
    return (rng.random((8, 32, 32, 3)) * np.linspace(20, 255, 8)[:, None, None, None]).astype(np.uint8)


def run(devices: int, steps: int):
    """The state after some steps, and the scalars of each."""
    step = compile_step(MAI(config()), config(), scatter, data_mesh(jax.devices()[:devices]))
    state, logs = state_lib.create(MAI(config()), config()), []
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
    return state_lib.create(MAI(config()), config())


@pytest.fixture(scope="module")
def after_and_logs():
    return run(1, 1)


def test_both_players_move_and_the_step_counts(before, after_and_logs):
    after, logs = after_and_logs
    assert after.step == 1
    for player in MAI.players:
        old, new = jax.tree.leaves(before.params[player]), jax.tree.leaves(after.params[player])
        assert all((a != b).any() for a, b in zip(old, new, strict=True)), player
    assert {"generator/hole", "generator/style", "discriminator/adversarial", "hole_ratio"} <= logs[0].keys()


def test_each_player_moves_along_its_own_gradient_alone(before, after_and_logs):
    """Each player moves by Adam along the gradient of its own loss at the old parameters, and no gradient leaks."""
    after, _ = after_and_logs
    model = MAI(config())
    key = jax.random.split(jax.random.fold_in(before.key, 0), 3)[0]
    image = jnp.asarray(photographs(0)).astype(float) / 255
    batch = Batch(image, scatter((), key, 8))

    def total(params, player):
        generator, aux = model.loss("generator", params, before.stats, batch, {}, key)
        outputs = jax.lax.stop_gradient(aux.outputs)
        discriminator, _ = model.loss("discriminator", params, before.stats, batch, outputs, key)
        return {"generator": generator, "discriminator": discriminator}[player]

    @jax.jit
    def gradients_of(params):
        return {player: jax.grad(total)(params, player) for player in MAI.players}

    gradients = gradients_of(before.params)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradients["discriminator"]["generator"]))
    tx = state_lib.optimisers(MAI(config()), config())
    for player in MAI.players:
        updates, _ = tx[player].update(gradients[player][player], before.opt[player])
        expected = jax.tree.map(lambda p, u: p + u, before.params[player], updates)
        for a, b in zip(*map(jax.tree.leaves, (expected, after.params[player])), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
