"""Errors of the converters of state dicts, and PConv's numbers; tests/models has those of the other methods."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax.batch import Batch
from mai_jax.config import PIC, Config, Discriminator, Generator, LaMa
from mai_jax.convert import edge_connect, lama, pconv, pic
from mai_jax.convert.state_dict import Tensors
from mai_jax.errors import InputError
from mai_jax.models.pconv import PublicPConv

torch = pytest.importorskip("torch", reason="PyTorch is the oracle: install the extra `dev`")
edge_connect_in_torch, lama_in_torch, pic_in_torch, pconv_in_torch = (
    pytest.importorskip(f"tests.models.{name}_in_torch") for name in ("edge_connect", "lama", "pic", "pconv"))

CONVERTERS = {"edge_connect": edge_connect, "lama": lama, "pic": pic, "pconv": pconv}
CONFIGS = {
    "edge_connect": Config(method="edge_connect", generator=Generator(width=4), discriminator=Discriminator(width=4)),
    "lama": Config(method="lama", lama=LaMa(width=4, blocks=1, discriminator_width=4)),
    "pic": Config(method="pic", pic=PIC(width=4)),
    "pconv": Config(method="pconv_public", generator=Generator(width=4)),
}


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    return {
        "edge_connect": edge_connect_in_torch.networks(4, seed=0),
        "lama": {"generator": lama_in_torch.Generator(4, 1), "discriminator": lama_in_torch.Discriminator(4)},
        "pic": {"E": pic_in_torch.Encoder(4), "G": pic_in_torch.Generator(4), "D": pic_in_torch.Discriminator(4)},
        "pconv": {"generator": pconv_in_torch.random_unet(4, seed=0)},
    }


def state_dicts(networks, original):
    return {name: {key: tensor.numpy().copy() for key, tensor in network.state_dict().items()}
            for name, network in networks[original].items()}  # fmt: skip


def convert(original, state_dicts):
    tensors = {name: Tensors(f"{name}.pth", state_dict) for name, state_dict in state_dicts.items()}
    return CONVERTERS[original].from_torch(tensors, CONFIGS[original])


@pytest.mark.parametrize(("original", "network", "changes", "named"), [
    ("edge_connect", "edge_generator", {"middle.3.conv_block.5.weight_u": None}, "is missing"),
    ("edge_connect", "generator", {"decoder.0.weight": np.ones((8, 16, 4, 4))}, "(8, 16, 4, 4), not (16, 8, 4, 4)"),
    ("edge_connect", "discriminator", {"features.0.weight_u": np.ones(4)}, "differ"),
    ("lama", "generator", {"model.5.conv1.ffc.convg2g.fu.conv_layer.weight": None}, "is missing"),
    ("lama", "generator", {"model.6.conv1.bn_l.weight": np.ones(8)}, "is unknown"),
    ("lama", "discriminator", {"model1.0.weight": np.ones((8, 4, 3, 3))}, "(8, 4, 3, 3), not (8, 4, 4, 4)"),
    ("pic", "E", {"encoder2.conv1.module.weight_u": None, "encoder2.model.1.module.weight_u": None}, "is missing"),
    ("pic", "G", {"out1.conv1.module.bias": np.ones(3)}, "differ"),
    ("pconv", "generator", {"dec_3.bn.running_var": np.full(8, np.nan)}, "not finite"),
    ("pconv", "generator", {"enc_8.bn.weight": np.zeros(32)}, "is unknown"),
    ("pconv", "generator", {"enc_1.conv.mask_conv.weight": np.zeros((4, 3, 7, 7))}, "not 1 everywhere"),
])  # fmt: skip
def test_an_error_names_the_tensor(networks, original, network, changes, named):
    given = state_dicts(networks, original)
    for name, value in changes.items():
        given[network][name] = value
        if value is None:
            del given[network][name]
    with pytest.raises(InputError) as error:
        convert(original, given)
    message = str(error.value)
    assert "\n" not in message and message.startswith(f"{network}.pth: tensor")
    assert next(iter(changes)) in message and named in message


@pytest.mark.parametrize("original", ["edge_connect", "pic"])
def test_the_second_name_of_a_tensor_is_optional(networks, original):
    with_both = state_dicts(networks, original)
    with_one = {network: dict(tensors) for network, tensors in with_both.items()}
    for tensors in with_both.values():
        tensors |= {name.replace("conv1.0", "features.0"): tensors[name] for name in tensors
                    if name.startswith("conv1.0")}
    for tensors in with_one.values():
        for name in [name for name in tensors if re.search(r"(model|shortcut)\.\d\.module", name)]:
            del tensors[name]
    assert sum(map(len, with_both.values())) > sum(map(len, with_one.values()))
    jax.tree.map(np.testing.assert_array_equal, convert(original, with_both), convert(original, with_one))


def test_sigma_is_pytorchs(networks):
    batch_stats = convert("edge_connect", state_dicts(networks, "edge_connect"))["batch_stats"]["edge_generator"]
    for layer, module in (("encode_2", "encoder.4"), ("decode_1", "decoder.0")):
        conv = networks["edge_connect"]["edge_generator"].get_submodule(module).eval()
        conv(torch.zeros(1, conv.in_channels, 8, 8).double())
        sigma = (conv.weight_orig / conv.weight).mean().item()
        np.testing.assert_allclose(batch_stats[f"{layer}_norm"][f"{layer}/kernel/sigma"], sigma, rtol=1e-5)


def random_batch(size) -> Batch:
    """Return a batch with a small hole, and one in a corner that is larger than the windows of the first layers."""
    rng = np.random.default_rng(0)
    valid = np.ones((1, *size, 1), np.float32)
    valid[0, 30:41, 50:70] = 0
    valid[0, 60:, 90:] = 0
    return Batch(jnp.asarray(rng.random((1, *size, 3)), jnp.float32), jnp.asarray(valid))


@pytest.fixture(scope="module")
def predict(networks):
    variables = convert("pconv", state_dicts(networks, "pconv"))
    return partial(jax.jit(PublicPConv(CONFIGS["pconv"]).predict), variables, rng=jax.random.key(0))


def test_the_public_pconv_predicts_what_pytorch_predicts(networks, predict):
    batch = random_batch((128, 256))
    image, mask = (torch.tensor(np.asarray(x)).permute(0, 3, 1, 2) for x in batch)
    mean, std = pconv_in_torch.MEAN, pconv_in_torch.STD
    with torch.inference_mode():
        raw = networks["pconv"]["generator"]((image - mean) / std, mask.expand_as(image)) * std + mean
    expected = raw.permute(0, 2, 3, 1).numpy()
    assert expected.std() > 0.05
    np.testing.assert_allclose(predict(batch=batch).raw, expected, atol=1e-4)


def test_the_hole_is_not_read(predict):
    batch = random_batch((128, 256))
    poisoned = batch._replace(image=jnp.where(batch.valid > 0, batch.image, jnp.nan))
    clean, other = (predict(batch=b) for b in (batch, poisoned))
    np.testing.assert_array_equal(clean.image, other.image)
    given = np.broadcast_to(batch.valid > 0, batch.image.shape)
    np.testing.assert_array_equal(np.asarray(other.image)[given], np.asarray(batch.image)[given])
