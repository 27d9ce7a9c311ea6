"""What the converter of state dicts refuses. That it gives the right numbers is checked where the networks are."""

import numpy as np
import pytest

from mai_jax.config import Config, Discriminator, Generator
from mai_jax.models.convert_edge_connect import from_torch
from mai_jax.types import InputError

in_torch = pytest.importorskip("edge_connect_in_torch", reason="PyTorch is the oracle: install the extra `dev`")
TINY = Config(generator=Generator(width=4), discriminator=Discriminator(width=4))


@pytest.fixture
def state_dicts():
    return in_torch.state_dicts(in_torch.players(4, seed=0))


def leave_out_a_player(state_dicts):
    del state_dicts["discriminator"]


def leave_out_a_tensor(state_dicts):
    del state_dicts["edge_generator"]["middle.3.conv_block.5.weight_u"]


def add_a_tensor(state_dicts):
    state_dicts["generator"]["encoder.2.running_mean"] = np.zeros(4)


def transpose_a_tensor(state_dicts):
    weight = state_dicts["generator"]["decoder.0.weight"]
    state_dicts["generator"]["decoder.0.weight"] = weight.transpose(1, 0, 2, 3)


def spoil_the_second_name(state_dicts):
    first = state_dicts["discriminator"]["conv1.0.weight_orig"]
    state_dicts["discriminator"]["features.0.weight_orig"] = first + 1


@pytest.mark.parametrize(("spoil", "named"), [
    (leave_out_a_player, ["players", "discriminator", "missing"]),
    (leave_out_a_tensor, ["edge_generator", "middle.3.conv_block.5.weight_u", "missing"]),
    (add_a_tensor, ["generator", "encoder.2.running_mean", "unknown"]),
    (transpose_a_tensor, ["generator", "decoder.0.weight", "(8, 16, 4, 4)", "(16, 8, 4, 4)"]),
    (spoil_the_second_name, ["discriminator", "features.0.weight_orig", "conv1.0.weight_orig"]),
])
def test_what_does_not_fit_is_named(state_dicts, spoil, named):
    spoil(state_dicts)
    with pytest.raises(InputError) as error:
        from_torch(state_dicts, TINY)
    assert "\n" not in str(error.value)
    assert [part for part in named if part not in str(error.value)] == []


def test_a_first_layer_stored_under_both_names_is_taken_once(state_dicts):
    plain = from_torch(state_dicts, TINY)
    for player in ("edge_discriminator", "discriminator"):
        theirs = state_dicts[player]
        theirs |= {name.replace("conv1", "features"): theirs[name] for name in theirs if name.startswith("conv1")}
    np.testing.assert_equal(from_torch(state_dicts, TINY), plain)


def test_sigma_is_the_norm_that_pytorch_takes(state_dicts):
    networks = in_torch.players(4, seed=0)
    _, stats = from_torch(in_torch.state_dicts(networks), TINY)
    for layer, module in (("encode_2", "encoder.4"), ("decode_1", "decoder.0")):
        conv = networks["edge_generator"].eval().get_submodule(module)
        conv(in_torch.torch.zeros(1, conv.in_channels, 8, 8).double())
        sigma = (conv.weight_orig / conv.weight).mean().item()
        np.testing.assert_allclose(stats["edge_generator"][f"{layer}_norm"][f"{layer}/kernel/sigma"], sigma, rtol=1e-5)
