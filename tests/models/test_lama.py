"""LaMa against its specification in PyTorch with the same weights; from both kinds of public files; its training."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax.batch import Batch
from mai_jax.config import VGG16, Config, LaMa, Phase
from mai_jax.convert import lama as converter
from mai_jax.convert import torch_files
from mai_jax.convert.state_dict import Tensors
from mai_jax.models import MODELS
from mai_jax.nn import vgg
from mai_jax.training import train_state
from mai_jax.training.train_step import train_step

torch = pytest.importorskip("torch", reason="PyTorch is the oracle: install the extra `dev`")
in_torch = pytest.importorskip("tests.models.lama_in_torch")

TINY = Config(
    method="lama", image_size=32, batch_size=2, vgg16=VGG16(weights="random", width=4),
    lama=LaMa(width=4, blocks=2, discriminator_width=4, perceptual=1.0),
    main_phase=Phase(steps=60, learning_rate=1e-3),
)  # fmt: skip
KEY = jax.random.key(0)


def draw_batch(size: tuple[int, int], dtype=jnp.float32, seed: int = 0) -> Batch:
    """Return two smooth images with holes of several squares."""
    rng = np.random.default_rng(seed)
    image = jax.image.resize(rng.random((2, 5, 5, 3)), (2, *size, 3), "bilinear")
    valid = np.kron(rng.random((2, -(-size[0] // 8), -(-size[1] // 8))) > 0.4, np.ones((8, 8)))[:, : size[0], : size[1]]
    return Batch(jnp.asarray(image, dtype), jnp.asarray(valid[..., None], dtype))


def to_torch(x):
    return torch.tensor(np.asarray(x)).permute(0, 3, 1, 2)


def to_numpy(x):
    return x.detach().permute(0, 2, 3, 1).numpy()


@pytest.fixture(scope="module")
def source():
    """PyTorch's networks with random weights and statistics, in evaluation mode; float64, of float32 numbers."""
    torch.manual_seed(0)
    return in_torch.randomize(in_torch.Training(4, 2, 4), 0).eval().double()


def convert(networks: dict[str, dict]):
    tensors = {name: Tensors(name, state_dict, converter.SOURCES[name].within) for name, state_dict in networks.items()}
    config = converter.config(tensors)
    return config, converter.from_torch(tensors, config)


@pytest.fixture(scope="module")
def variables(source):
    state_dict = {name: value.numpy() for name, value in source.state_dict().items()}
    config, variables = convert({"generator": state_dict, "discriminator": state_dict})
    assert config.lama == dataclasses.replace(LaMa(), width=4, blocks=2, discriminator_width=4)
    return variables


def as_float64(variables):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), variables)


def test_parameter_counts_are_the_originals():
    batch = Batch(*(jax.ShapeDtypeStruct((1, 256, 256, channels), jnp.float32) for channels in (3, 1)))
    params = jax.eval_shape(MODELS["lama"](Config()).init, KEY, batch)["params"]
    with torch.device("meta"):
        networks = in_torch.Training()
    for network, own in params.items():
        count = sum(leaf.size for leaf in jax.tree.leaves(own))
        assert count == sum(leaf.numel() for leaf in getattr(networks, network).parameters())
        assert count == {"generator": 50_975_875, "discriminator": 6_962_369}[network]  # published as 51 million


@pytest.mark.parametrize("size", [(64, 72), (57, 90)])
def test_prediction_equals_the_specification_in_pytorch(x64, source, variables, size):
    """Images and holes of other sizes than multiples of 8 are mirrored at the bottom and right, border included."""
    batch, (h, w) = draw_batch(size, jnp.float64), size
    found = MODELS["lama"](TINY).predict(as_float64(variables), batch, KEY)
    by = ((0, 0), (0, -h % 8), (0, -w % 8), (0, 0))
    padded = (np.pad(x, by, "symmetric") for x in (batch.image, 1 - batch.valid))
    with torch.inference_mode():
        expected = to_numpy(source(*map(to_torch, padded)))[:, :h, :w]
    assert expected.std() > 0.05
    np.testing.assert_allclose(found.raw, expected, atol=1e-10)
