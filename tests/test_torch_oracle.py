"""Our training step against the same step in PyTorch: losses, gradients, statistics, updates, painted pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from benchmarks import torch_mai, torch_step, torch_weights
from mai_jax.config import VGG16, Config, Discriminator, Generator, Phase
from mai_jax.models.mai import MAI
from mai_jax.training import state as state_lib
from mai_jax.training.step import compile_step, data_mesh
from mai_jax.types import Batch

CONFIG = Config(
    image_size=32, generator=Generator(width=4, squeeze=4), discriminator=Discriminator(width=4),
    vgg16=VGG16(weights="random", width=4), train=Phase(steps=2, learning_rate=1e-3),
)  # fmt: skip
FAST = {"xla_backend_optimization_level": 0}


def photographs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images, and `known` with a whole corner gone, so that some windows hold nothing."""
    rng = np.random.default_rng(seed)
    known = (rng.random((6, 32, 32, 1)) > 0.4).astype(np.float32)
    known[:, :16, :16] = 0
    return rng.integers(0, 256, (6, 32, 32, 3), np.uint8), known


@pytest.fixture(scope="module")
def fresh() -> state_lib.State:
    return state_lib.create(MAI(CONFIG), CONFIG)


def moved(state: state_lib.State, dtype: str) -> state_lib.State:
    """No parameter has its initial zero or one, no statistic either: else an error there would not show."""
    rng = np.random.default_rng(1)

    def move(x: jax.Array) -> jax.Array:
        return (x + 0.05 * rng.standard_normal(x.shape)).astype(dtype)

    params, stats = jax.tree.map(move, (state.params, state.stats))
    opt = jax.tree.map(lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, state.opt)
    return state.replace(params=params, stats=stats, opt=opt)


def rival(state: state_lib.State, dtype: torch.dtype) -> torch_step.Step:
    networks = torch_mai.MAI(CONFIG).to(dtype)
    torch_weights.load(networks, state.params, state.stats, MAI(CONFIG).vgg16_params)
    return torch_step.Step(networks, CONFIG)


def channels_first(images: np.ndarray) -> torch.Tensor:
    return torch.tensor(np.asarray(images)).permute(0, 3, 1, 2)


def assert_same(ours, theirs, tolerance: float) -> None:
    """Every array to `tolerance` of its own largest value."""
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for (path, a), b in zip(jax.tree.leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert np.abs(a - b).max() <= tolerance * np.abs(a).max(), jax.tree_util.keystr(path)


def test_losses_gradients_and_statistics_in_float32(fresh):
    model, state, (images, known) = MAI(CONFIG), moved(fresh, "float32"), photographs(0)
    batch, key = Batch(jnp.asarray(images, jnp.float32) / 255, jnp.asarray(known)), jax.random.key(0)

    def ours(params):
        outputs, gradients, stats, logs = {}, {}, {}, {}
        for player in model.players:
            def loss(own, player=player, outputs=outputs):
                return model.loss(player, {**params, player: own}, state.stats, batch, outputs, key)

            (logs[f"{player}/total"], aux), gradients[player] = jax.value_and_grad(loss, has_aux=True)(params[player])
            outputs, stats[player] = jax.lax.stop_gradient(aux.outputs), aux.stats
            logs |= {f"{player}/{name}": term for name, term in aux.logs.items()}
        return gradients, stats, logs

    gradients, stats, logs = jax.jit(ours, compiler_options=FAST)(state.params)
    theirs = rival(state, torch.float32)
    their_logs = theirs.gradients(channels_first(batch.image), channels_first(known))
    assert_same({name: logs[name] for name in their_logs}, their_logs, 1e-5)
    their_gradients = {name: p.grad for name, p in theirs.networks.named_parameters() if p.requires_grad}
    assert_same(gradients, torch_weights.from_torch(their_gradients, gradients), 1e-4)
    assert_same(stats, torch_weights.from_torch(theirs.networks.state_dict(), stats), 1e-5)


@pytest.fixture(scope="module")
def trained(fresh):
    """Two whole steps of each in float64: (our state, our logs, their step, their logs, what each paints then)."""
    with jax.enable_x64(True):
        model, state = MAI(CONFIG), moved(fresh, "float64")
        theirs = rival(state, torch.float64)
        step = compile_step(model, CONFIG, lambda holes, key, n: holes, data_mesh(jax.devices()[:1]))
        for images, known in map(photographs, range(2)):
            state, logs = step(state, images, known.astype(np.float64))
            their_logs = theirs(channels_first(images), channels_first(known).double())
        batch = Batch(jnp.asarray(images / 255.0), jnp.asarray(known, jnp.float64))
        paint = jax.jit(model.paint, compiler_options=FAST)
        raw = paint(state.params, state.stats, batch, jax.random.key(0)).raw
        with torch.inference_mode():
            their_raw = theirs.networks.eval().generator(*map(channels_first, batch))
        painted = np.asarray(raw), their_raw.permute(0, 2, 3, 1).numpy()
        yield jax.device_get((state.params, state.stats)), jax.device_get(logs), theirs, their_logs, painted


def test_every_scalar_of_the_second_step_agrees(trained):
    _, logs, _, their_logs, _ = trained
    assert_same({name: logs[name] for name in their_logs}, their_logs, 1e-9)


def test_parameters_and_statistics_after_two_steps_agree(trained):
    state, _, theirs, _, _ = trained
    for tree in state:
        assert_same(tree, torch_weights.from_torch(theirs.networks.state_dict(), tree), 1e-7)


def test_painted_pixels_agree(trained):
    *_, (ours, theirs) = trained
    assert_same(ours, theirs, 1e-7)
