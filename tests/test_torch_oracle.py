"""MAI's training step against the same step in PyTorch: losses, gradients, statistics, updates, predictions."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from benchmarks import torch_mai, torch_step, torch_weights
from mai_jax.batch import Batch
from mai_jax.config import VGG16, Config, Discriminator, Generator, Phase
from mai_jax.models.mai import MAI
from mai_jax.training import train_state
from mai_jax.training.train_step import data_mesh, make_train_step

FAST_COMPILE = {"xla_backend_optimization_level": 0}


def photographs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 images, and `valid` with a hole in one corner, so that some windows have no valid position."""
    rng = np.random.default_rng(seed)
    valid = (rng.random((6, 32, 32, 1)) > 0.4).astype(np.float32)
    valid[:, :16, :16] = 0
    return rng.integers(0, 256, (6, 32, 32, 3), np.uint8), valid


@pytest.fixture(scope="module", params=["published", "residual"])
def config(request) -> Config:
    """A small config, with each form of the merge."""
    return Config(
        image_size=32, generator=Generator(width=4, se_reduction=4, merge=request.param),
        discriminator=Discriminator(width=4), vgg16=VGG16(weights="random", width=4),
        main_phase=Phase(steps=2, learning_rate=1e-3),
    )  # fmt: skip


@pytest.fixture(scope="module")
def initial(config) -> train_state.TrainState:
    return train_state.init_on_devices(MAI(config), config)


def perturbed(state: train_state.TrainState, dtype: str) -> train_state.TrainState:
    """Return the state with noise on parameters and statistics: an initial 0 or 1 would hide errors."""
    rng = np.random.default_rng(1)

    def perturb(x: jax.Array) -> jax.Array:
        return (x + 0.05 * rng.standard_normal(x.shape)).astype(dtype)

    params, batch_stats = jax.tree.map(perturb, (state.params, state.batch_stats))
    opt_state = jax.tree.map(lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, state.opt_state)
    return state.replace(params=params, batch_stats=batch_stats, opt_state=opt_state)


def step_in_torch(config: Config, state: train_state.TrainState, dtype: torch.dtype) -> torch_step.Step:
    networks = torch_mai.MAI(config).to(dtype)
    torch_weights.load(networks, state.params, state.batch_stats, MAI(config).vgg16_params)
    return torch_step.Step(networks, config)


def channels_first(images: np.ndarray) -> torch.Tensor:
    return torch.tensor(np.asarray(images)).permute(0, 3, 1, 2)


def assert_close(found, expected, tolerance: float) -> None:
    """Assert that every array differs by at most `tolerance` times its largest absolute value."""
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for (path, a), b in zip(jax.tree.leaves_with_path(found), jax.tree.leaves(expected), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert np.abs(a - b).max() <= tolerance * np.abs(a).max(), jax.tree_util.keystr(path)


def test_losses_gradients_and_statistics_in_float32(config, initial):
    model, state, (images, valid) = MAI(config), perturbed(initial, "float32"), photographs(0)
    batch, key = Batch(jnp.asarray(images, jnp.float32) / 255, jnp.asarray(valid)), jax.random.key(0)

    def compute_gradients(params):
        outputs, gradients, batch_stats, logs = {}, {}, {}, {}
        for network in model.networks:
            def loss(own, network=network, outputs=outputs):
                return model.loss(network, {**params, network: own}, state.batch_stats, batch, outputs, key)

            (total, aux), gradients[network] = jax.value_and_grad(loss, has_aux=True)(params[network])
            logs[f"{network}/total"] = total
            outputs, batch_stats[network] = jax.lax.stop_gradient(aux.outputs), aux.batch_stats
            logs |= {f"{network}/{name}": term for name, term in aux.logs.items()}
        return gradients, batch_stats, logs

    gradients, batch_stats, logs = jax.jit(compute_gradients, compiler_options=FAST_COMPILE)(state.params)
    step = step_in_torch(config, state, torch.float32)
    expected_logs = step.gradients(channels_first(batch.image), channels_first(valid))
    assert_close({name: logs[name] for name in expected_logs}, expected_logs, 1e-5)
    expected = {name: p.grad for name, p in step.networks.named_parameters() if p.requires_grad}
    assert_close(gradients, torch_weights.from_torch(expected, gradients), 1e-4)
    assert_close(batch_stats, torch_weights.from_torch(step.networks.state_dict(), batch_stats), 1e-5)


class Result(NamedTuple):
    """State, logs and predictions after two steps, in JAX and in PyTorch."""

    variables: dict[str, Any]
    logs: dict[str, Any]
    raw: np.ndarray
    torch_networks: torch_mai.MAI
    torch_logs: dict[str, torch.Tensor]
    torch_raw: np.ndarray


@pytest.fixture(scope="module")
def trained(config, initial):
    """The results of two steps in float64."""
    with jax.enable_x64(True):
        model, state = MAI(config), perturbed(initial, "float64")
        torch_step = step_in_torch(config, state, torch.float64)
        step = make_train_step(model, config, lambda holes, key, n: holes, data_mesh(jax.devices()[:1]))
        for images, valid in map(photographs, range(2)):
            state, logs = step(state, images, valid.astype(np.float64))
            torch_logs = torch_step(channels_first(images), channels_first(valid).double())
        batch = Batch(jnp.asarray(images / 255.0), jnp.asarray(valid, jnp.float64))
        predict = jax.jit(model.predict, compiler_options=FAST_COMPILE)
        raw = predict(state.variables, batch, jax.random.key(0)).raw
        with torch.inference_mode():
            torch_raw = torch_step.networks.eval().generator(*map(channels_first, batch))
        yield Result(*jax.device_get((state.variables, logs, raw)), torch_step.networks, torch_logs,
                     torch_raw.permute(0, 2, 3, 1).numpy())


def test_every_scalar_of_the_second_step_agrees(trained):
    assert_close({name: trained.logs[name] for name in trained.torch_logs}, trained.torch_logs, 1e-9)


def test_parameters_and_statistics_after_two_steps_agree(trained):
    for tree in trained.variables.values():
        assert_close(tree, torch_weights.from_torch(trained.torch_networks.state_dict(), tree), 1e-7)


def test_predictions_agree(trained):
    assert_close(trained.raw, trained.torch_raw, 1e-7)
