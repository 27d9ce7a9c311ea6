"""PIC against its specification in PyTorch with the same weights; its invariances."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal as TorchNormal
from torch.distributions import kl_divergence

from mai_jax.batch import Batch
from mai_jax.config import PIC as Settings
from mai_jax.config import Config, Phase
from mai_jax.convert import pic as convert_pic
from mai_jax.convert.state_dict import Tensors
from mai_jax.models import MODELS, pic
from mai_jax.models.base import network_variables
from tests.models import pic_in_torch

TINY = Config(method="pic", image_size=64, batch_size=2, pic=Settings(width=4), main_phase=Phase(steps=200))
KEY = jax.random.key(7)


def random_batch(size: tuple[int, int], n: int = 2) -> Batch:
    rng = np.random.default_rng(0)
    valid = np.ones((n, *size, 1), np.float32)
    valid[0, 3 : size[0] // 2, 5 : size[1] - 9] = 0
    valid[-1, size[0] // 3 :, : size[1] // 2] = 0
    return Batch(jnp.asarray(rng.random((n, *size, 3)), jnp.float32), jnp.asarray(valid))


BATCH = random_batch((96, 128))


@pytest.fixture(scope="module")
def source_networks():
    """The four networks in PyTorch, with attention weights that are not 0."""
    torch.manual_seed(0)
    kinds = {"E": pic_in_torch.Encoder, "G": pic_in_torch.Generator,
             "D": pic_in_torch.Discriminator, "D_rec": pic_in_torch.Discriminator}
    networks = {name: kind(width=4) for name, kind in kinds.items()}
    for name in ("G", "D", "D_rec"):
        for parameter, value in networks[name].named_parameters():
            if parameter.endswith(("gamma", "alpha")):
                torch.nn.init.constant_(value, 0.7)
            if "decoder" in parameter and parameter.endswith((".model.0.weight", ".model.3.weight")):
                torch.nn.init.uniform_(value, 0.5, 1.5)
    return networks


def state_dicts(networks):
    return {name: {k: v.numpy().copy() for k, v in network.state_dict().items()} for name, network in networks.items()}


def convert(state_dicts):
    return convert_pic.from_torch({name: Tensors(name, tensors) for name, tensors in state_dicts.items()}, TINY)


@pytest.fixture(scope="module")
def converted(source_networks):
    """The model, and variables with the weights of the source networks."""
    return MODELS["pic"](TINY), convert(state_dicts(source_networks))


def cloned_state_dicts(networks):
    return {name: {k: v.clone() for k, v in network.state_dict().items()} for name, network in networks.items()}


@pytest.fixture
def networks(source_networks):
    """The source networks; their power iteration, which a forward pass changes, is restored after the test."""
    before = cloned_state_dicts(source_networks)
    yield source_networks
    for name, network in source_networks.items():
        network.load_state_dict(before[name])
        network.zero_grad()


def to_torch(x):
    return torch.from_numpy(np.array(x)).permute(0, 3, 1, 2)


def from_torch(x):
    return x.detach().permute(0, 2, 3, 1).numpy()


def shrink(x, scale):
    size = [length // scale for length in x.shape[2:]]
    return F.interpolate(x, size, mode="bilinear", align_corners=True)


def both_paths_in_torch(networks, batch, noise):
    """Return the images of both paths, prior and posterior by the specification, for the given noise."""
    image, valid = 2 * to_torch(batch.image) - 1, to_torch(batch.valid)
    prior, posterior, detail, coarse = networks["E"](valid * image, (1 - valid) * image)
    z = torch.cat([mean + std * to_torch(e) for (mean, std), e in zip((posterior, prior), noise, strict=True)])
    images = networks["G"](z, *(torch.cat([x, x]) for x in (coarse, detail, shrink(valid, 8))))
    reconstructed, generated = zip(*(x.chunk(2) for x in images), strict=True)
    return reconstructed, generated, TorchNormal(*prior), TorchNormal(*posterior)


def noise_of(rng, shape):
    return [jax.random.normal(key, shape) for key in jax.random.split(rng)]


def test_parameter_counts_are_the_originals():
    model = MODELS["pic"](Config())
    shapes = jax.ShapeDtypeStruct((1, 256, 256, 3), jnp.float32), jax.ShapeDtypeStruct((1, 256, 256, 1), jnp.float32)
    params = jax.eval_shape(lambda image, valid: model.init(KEY, Batch(image, valid)), *shapes)["params"]
    counts = {name: sum(leaf.size for leaf in jax.tree.leaves(part))
              for network in model.networks for name, part in params[network].items()}
    assert counts == {"encoder": 3_604_224, "decoder": 2_374_016, "generative": 1_575_075, "reconstructive": 1_575_075}


def test_both_paths_and_the_distributions_are_those_of_the_specification(converted, networks):
    model, variables = converted
    apply = jax.jit(partial(model.generator.apply, update_stats=False, method="both_paths"))
    reconstructed, generated, code = apply(network_variables("generator", **variables), BATCH, KEY)
    expected = both_paths_in_torch(networks, BATCH, noise_of(KEY, code.prior.mean.shape))
    for found, image in zip((*reconstructed, *generated), (*expected[0], *expected[1]), strict=True):
        np.testing.assert_allclose(found, from_torch(image), atol=1e-4)
    for found, normal in zip((code.prior, code.posterior), expected[2:], strict=True):
        np.testing.assert_allclose(found.mean, from_torch(normal.mean), atol=1e-4)
        np.testing.assert_allclose(found.std, from_torch(normal.stddev), atol=1e-4)


def test_divergences_are_those_of_torch_distributions():
    rng = np.random.default_rng(1)
    means, stds = rng.normal(size=(2, 2, 2, 3, 4)), rng.uniform(0.1, 2, size=(2, 2, 2, 3, 4))
    expected = kl_divergence(*(TorchNormal(*map(torch.from_numpy, pair)) for pair in zip(means, stds, strict=True)))
    p, q = (pic.Normal(*pair) for pair in zip(means.astype(np.float32), stds.astype(np.float32), strict=True))
    np.testing.assert_allclose(pic.kl(p, q), expected.mean(), rtol=1e-5)
    np.testing.assert_allclose(pic.kl(p, p), 0, atol=1e-6)


def losses_and_gradients(model, variables):
    """Return ((loss, aux), gradients) of generator and discriminator."""
    params, batch_stats = variables["params"], variables["batch_stats"]

    @jax.jit
    def both(params):
        def loss(own, network, outputs):
            return model.loss(network, {**params, network: own}, batch_stats, BATCH, outputs, KEY)

        gradient = jax.value_and_grad(loss, has_aux=True)
        first = gradient(params["generator"], "generator", {})
        return first, gradient(params["discriminator"], "discriminator", first[0][1].outputs)

    return both(params)


def generator_terms_in_torch(networks, reconstructed, generated, prior, posterior):
    """Return the terms of the generator's loss by the specification."""
    truth, valid = 2 * to_torch(BATCH.image) - 1, to_torch(BATCH.valid)
    ratio = valid.mean(dim=(1, 2, 3)).reshape(-1, 1, 1, 1)
    reference = TorchNormal(torch.zeros_like(posterior.mean),
                            (1 / (1 + torch.exp(8 * (ratio - 1e-5 - 0.8)))).expand_as(posterior.mean))
    constant = TorchNormal(posterior.mean.detach(), posterior.stddev.detach())
    of_reconstructed, of_truth = networks["D_rec"](torch.cat([reconstructed[-1], truth])).chunk(2)
    return {
        "kl_posterior": kl_divergence(reference, posterior).mean(),
        "kl_prior": kl_divergence(constant, prior).mean(),
        "reconstructed": sum(F.l1_loss(r, shrink(truth, s)) for r, s in zip(reconstructed, pic.SCALES, strict=True)),
        "generated": sum(F.l1_loss(g * shrink(valid, s), shrink(truth, s) * shrink(valid, s))
                         for g, s in zip(generated, pic.SCALES, strict=True)),
        "adversarial": (networks["D"](generated[-1]) - 1).square().mean(),
        "matching": F.mse_loss(of_reconstructed, of_truth),
    }


def assert_kernel_gradient(found, module, layer):
    expected = module.get_submodule(layer).module.weight_bar.grad.permute(2, 3, 1, 0).numpy()
    np.testing.assert_allclose(found["conv"]["kernel"], expected, rtol=1e-3, atol=2e-4 * abs(expected).max(),
                               err_msg=layer)


def test_losses_and_gradients_are_those_of_the_specification(converted, networks):
    ((total, aux), gradients), ((discriminator_total, _), discriminator_gradients) = losses_and_gradients(*converted)

    initial = cloned_state_dicts(networks)
    shape = (len(BATCH.image), *(length // 32 for length in BATCH.image.shape[1:3]), 16)
    reconstructed, generated, prior, posterior = both_paths_in_torch(networks, BATCH, noise_of(KEY, shape))
    terms = generator_terms_in_torch(networks, reconstructed, generated, prior, posterior)
    weights = dict(zip(terms, (80, 80, 20, 20, 1, 1), strict=True))
    expected = sum(weights[name] * term for name, term in terms.items())
    for name, term in terms.items():
        np.testing.assert_allclose(aux.logs[name], term.item(), rtol=1e-4, err_msg=name)
    np.testing.assert_allclose(total, expected.item(), rtol=1e-4)

    expected.backward()
    for network, layers in (("E", ("block0.conv1", "posterior.conv2", "prior.bypass", "infer_prior5.conv1")),
                            ("G", ("generator.conv1", "decoder0.conv2", "attn1.model.conv1", "out4.conv1"))):
        for layer in layers:
            found = gradients[convert_pic.NETWORKS[network][1]]
            for name in layer.replace("attn1.model", "attention.merge").replace("out4.conv1", "out4").split("."):
                found = found[name]
            assert_kernel_gradient(found, networks[network], layer)

    expected, truth = 0, 2 * to_torch(BATCH.image) - 1
    for name, images in (("D", generated[-1]), ("D_rec", reconstructed[-1])):
        networks[name].load_state_dict(initial[name])
        networks[name].zero_grad()
        real, fake = networks[name](torch.cat([truth, images.detach()])).chunk(2)
        expected = expected + 0.5 * ((real - 1).square().mean() + fake.square().mean())
    np.testing.assert_allclose(discriminator_total, expected.item(), rtol=1e-4)
    expected.backward()
    found = discriminator_gradients["reconstructive"]["encoder1"]["conv1"]
    assert_kernel_gradient(found, networks["D_rec"], "encoder1.conv1")


@pytest.fixture(scope="module")
def predict(converted):
    """The function from (batch, rng) to a Completion."""
    model, variables = converted
    return partial(jax.jit(model.predict), variables)


ODD = random_batch((33, 50))


def test_the_prediction_is_a_function_of_the_key(predict):
    first, repeated, other = (predict(ODD, jax.random.key(i)).raw for i in (0, 0, 1))
    np.testing.assert_array_equal(first, repeated)
    assert jnp.abs(first - other).max() > 0.01
    assert first.min() >= 0 and first.max() <= 1


def test_samples_are_the_predictions_for_split_keys(converted, predict):
    model, variables = converted
    samples = jax.jit(model.sample, static_argnums=3)(variables, ODD, KEY, 3)
    np.testing.assert_allclose(samples, [predict(ODD, key).raw for key in jax.random.split(KEY, 3)], atol=1e-5)


def test_the_hole_is_not_read(predict):
    poisoned = ODD._replace(image=jnp.where(ODD.valid > 0, ODD.image, jnp.nan))
    clean, other = (predict(batch, KEY) for batch in (ODD, poisoned))
    np.testing.assert_array_equal(clean.raw, other.raw)
    given = np.broadcast_to(ODD.valid > 0, ODD.image.shape)
    np.testing.assert_array_equal(np.asarray(other.image)[given], np.asarray(ODD.image)[given])
    assert jnp.isfinite(other.image).all()
