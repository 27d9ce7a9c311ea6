"""EdgeConnect against a PyTorch reading of its specification; who moves when; nothing in the hole can be seen."""

import copy
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import data
from skimage.color import rgb2gray
from skimage.feature import canny

from mai_jax.config import VGG16, Config, Discriminator, Generator, Phase
from mai_jax.models import edge_connect
from mai_jax.models.convert.edge_connect import DISCRIMINATOR, GENERATOR, from_torch
from mai_jax.models.convert.originals import Tensors
from mai_jax.models.edge_connect import EdgeConnect
from mai_jax.nn import vgg19
from mai_jax.training import state as state_lib
from mai_jax.training.step import train_step
from mai_jax.types import Batch

torch = pytest.importorskip("torch", reason="PyTorch is the oracle: install the extra `dev`")
in_torch = pytest.importorskip("tests.models.edge_connect_in_torch")

SIZE, WIDTH = 48, 8
TINY = Config(method="edge_connect", image_size=32, generator=Generator(width=WIDTH),
              discriminator=Discriminator(width=WIDTH), vgg16=VGG16(weights="random", width=4),
              train=Phase(steps=120, learning_rate=5e-3, schedule="cosine"), finetune=Phase(steps=1))
PLAYERS = ("edge_generator", "edge_discriminator", "generator", "discriminator")
KEY = jax.random.key(0)


def draw_batch(seed: int, size: tuple[int, int] = (SIZE, SIZE), dtype=float) -> Batch:
    """Two pieces of photographs, with holes."""
    rng = np.random.default_rng(seed)
    image = np.stack([photo()[40 : 40 + 4 * size[0] : 4, 100 : 100 + 4 * size[1] : 4] / 255
                      for photo in (data.astronaut, data.coffee)])
    known = np.kron(rng.random((2, -(-size[0] // 8), -(-size[1] // 8))) > 0.3, np.ones((8, 8)))[:, : size[0], : size[1]]
    return Batch(jnp.asarray(image, dtype), jnp.asarray(known[..., None], dtype))


SMALL = Batch(draw_batch(2, (32, 32), jnp.float32).image[:1], jnp.ones((1, 32, 32, 1)).at[:, 8:16, 8:24].set(0))


@pytest.fixture(scope="module")
def few_blocks():
    """One residual block of the eight: enough where their number does not matter, and soon compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edge_connect, "BLOCKS", 1)
        yield


@pytest.fixture(scope="module")
def networks():
    return in_torch.players(WIDTH, seed=0)


def converted(networks):
    """Our (params, stats) of these networks."""
    tensors = {player: Tensors(player, theirs) for player, theirs in in_torch.state_dicts(networks).items()}
    return from_torch(tensors, TINY)


def ours(networks):
    """The same in float64."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), converted(networks))


def run(network, x):
    """What it makes of images [b, h, w, c] after the step of power iteration that training takes; it stays as it is."""
    made = copy.deepcopy(network)(torch.tensor(np.asarray(x)).permute(0, 3, 1, 2))
    many = made if isinstance(made, list) else [made]
    maps = [part.permute(0, 2, 3, 1).detach().numpy() for part in many]
    return maps if isinstance(made, list) else maps[0]


def test_parameter_counts_are_the_originals():
    model = EdgeConnect(Config())
    batch = Batch(*(jax.ShapeDtypeStruct((1, 256, 256, channels), jnp.float32) for channels in (3, 1)))
    params, _ = jax.eval_shape(model.init, KEY, batch)
    counts = {player: sum(leaf.size for leaf in jax.tree.leaves(own)) for player, own in params.items()}
    assert counts == {"edge_generator": 10_761_089, "edge_discriminator": 2_762_752,
                      "generator": 10_774_595, "discriminator": 2_763_776}  # fmt: skip


@pytest.mark.parametrize("player", PLAYERS)
def test_every_layer_equals_pytorchs(x64, networks, player):
    params, stats = ours(networks)
    paints = player.endswith("generator")
    table = GENERATOR if paints else DISCRIMINATOR
    channels = {"edge_generator": 3, "edge_discriminator": 2, "generator": 4, "discriminator": 3}[player]
    x = np.random.default_rng(1).random((2, SIZE, SIZE, channels))
    network, expected = copy.deepcopy(networks[player]), {}
    for layer, module in table.items():
        conv = network.get_submodule(module)
        conv.register_forward_hook(lambda conv, given, made, layer=layer: expected.update({layer: made.detach()}))
    network(torch.tensor(x).permute(0, 3, 1, 2))

    model = EdgeConnect(TINY)
    flax = getattr(model, player if paints else "discriminator")
    variables = {"params": params[player], "batch_stats": stats[player]}
    convolution = lambda module, _: module.name in table  # noqa: E731
    _, found = flax.apply(variables, jnp.asarray(x), update_stats=False, capture_intermediates=convolution,
                          mutable=["intermediates"])
    assert found["intermediates"].keys() == expected.keys()
    for layer, wanted in expected.items():
        np.testing.assert_allclose(found["intermediates"][layer]["__call__"][0], wanted.permute(0, 2, 3, 1),
                                   rtol=1e-9, atol=1e-9, err_msg=layer)


def test_painting_equals_the_specification_in_pytorch(x64, networks):
    """In PyTorch's evaluation mode, with the vectors u and v to which power iteration converges."""
    networks = copy.deepcopy(networks)
    for module in (module for network in networks.values() for module in network.modules()):
        if hasattr(module, "weight_u"):
            first = 1 if isinstance(module, torch.nn.ConvTranspose2d) else 0
            u, _, v = torch.linalg.svd(module.weight_orig.detach().movedim(first, 0).flatten(1), full_matrices=False)
            module.weight_u.copy_(u[:, 0])
            module.weight_v.copy_(v[0])
    params, stats = jax.tree.map(jnp.asarray, converted(networks))
    batch = draw_batch(0)
    found = EdgeConnect(TINY).paint(*jax.tree.map(lambda a: a.astype(float), (params, stats)), batch, KEY)

    image, known = map(np.asarray, batch)
    hole, grey = 1 - known, rgb2gray(image)[..., None]
    pairs = zip(grey[..., 0], known[..., 0] > 0, strict=True)
    edges = np.stack([canny(g, sigma=2, mask=k) for g, k in pairs])[..., None]
    for network in networks.values():
        network.eval()
    drawn = 1 / (1 + np.exp(-run(networks["edge_generator"], np.concatenate([grey * known + hole, edges, hole], -1))))
    edges = drawn * hole + edges * known
    raw = (np.tanh(run(networks["generator"], np.concatenate([image * known + hole, edges], -1))) + 1) / 2
    np.testing.assert_allclose(found.aux["edges"], edges, atol=1e-5)  # u and v went through float32
    np.testing.assert_allclose(found.raw, raw, atol=1e-4)
    assert np.asarray(found.aux["edges"])[known > 0].any()


def losses_by_numpy(networks, batch, *, by_true_edges):
    """The terms of all players from the specification's formulas, with PyTorch's networks."""
    image, known = map(np.asarray, batch)
    hole, grey = 1 - known, rgb2gray(image)[..., None]
    edges = np.stack([canny(g[..., 0], sigma=2) for g in grey])[..., None].astype(float)
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    bce = lambda logits, label: -np.log(sigmoid(logits) if label else 1 - sigmoid(logits)).mean()  # noqa: E731
    drawn = sigmoid(run(networks["edge_generator"], np.concatenate([grey * known + hole, edges * known, hole], -1)))
    real, fake = (run(networks["edge_discriminator"], np.concatenate([grey, e], -1)) for e in (edges, drawn))
    terms = {
        "edge_generator/adversarial": bce(fake[-1], True),
        "edge_generator/feature_matching": sum(np.abs(r - f).mean() for r, f in zip(real, fake, strict=True)),
        "edge_discriminator/adversarial": (bce(real[-1], True) + bce(fake[-1], False)) / 2,
    }
    seen = edges if by_true_edges else drawn * hole + edges * known
    raw = (np.tanh(run(networks["generator"], np.concatenate([image * known + hole, seen], -1))) + 1) / 2
    real, fake = (run(networks["discriminator"], images)[-1] for images in (image, raw))
    params = {"params": vgg19.from_config(TINY.vgg16)}
    vgg = [vgg19.VGG19Rectified(4).apply(params, jnp.asarray(x)) for x in (raw, image, raw * hole, image * hole)]
    grams = [[np.einsum("bhwc,bhwd->bcd", f, f) / f[0].size for f in (maps["conv2_2"], maps["conv3_4"],
              maps["conv4_4"], maps["conv5_2"])] for maps in vgg[2:]]  # fmt: skip
    terms |= {
        "generator/l1": np.abs(raw - image).mean() / hole.mean(),
        "generator/adversarial": bce(fake, True),
        "generator/perceptual": sum(np.abs(vgg[0][f"conv{i}_1"] - vgg[1][f"conv{i}_1"]).mean() for i in range(1, 6)),
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


@pytest.mark.parametrize("phase", ["train", "finetune"])
def test_losses_equal_the_specification(x64, networks, phase):
    model, batch = EdgeConnect(TINY, phase), draw_batch(1)
    params, stats = ours(networks)

    outputs, terms, totals = {}, {}, {}
    for player in model.players:
        totals[player], aux = model.loss(player, params, stats, batch, outputs, KEY)
        outputs |= aux.outputs
        terms |= {f"{player}/{name}": term for name, term in aux.logs.items()}
    all_terms, all_totals = losses_by_numpy(networks, batch, by_true_edges=phase == "train")
    for found, expected in ((terms, all_terms), (totals, all_totals)):
        assert {name.split("/")[0] for name in found} == set(PLAYERS if phase == "train" else PLAYERS[2:])
        for name, value in found.items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-7, err_msg=name)


def compiled_step(phase: str):
    """One step, of a state, photographs and their `known`."""
    model = EdgeConnect(TINY, phase)
    optimisers = state_lib.optimisers(model, TINY)

    def step(state, batch):
        images = (batch.image * 255).astype(jnp.uint8)
        return train_step(model, optimisers, lambda known, *_: known, state, images, batch.known)

    return jax.jit(step)


@pytest.fixture(scope="class")
def training(few_blocks):
    return state_lib.create(EdgeConnect(TINY), TINY), compiled_step("train")


class TestTraining:
    def test_both_generators_learn_a_batch_by_heart(self, training):
        """What the edge generator's loss cannot fall below is ln 2: two equal images that nobody tells apart."""
        state, step = training
        logs = []
        for _ in range(TINY.train.steps):
            state, scalars = step(state, SMALL)
            logs.append(scalars)
        first, last = logs[0], logs[-1]
        assert last["generator/total"] < 0.2 * first["generator/total"]
        assert last["edge_generator/total"] - math.log(2) < 0.2 * (first["edge_generator/total"] - math.log(2))

    @pytest.mark.parametrize("known", [0.0, 1.0], ids=["all hole", "no hole"])
    def test_extreme_holes_have_finite_gradients(self, training, known):
        state, step = training
        _, logs = step(state, SMALL._replace(known=jnp.full_like(SMALL.known, known)))
        assert all(np.isfinite(value) for value in logs.values())

    def test_all_players_move_from_kernels_as_small_as_published(self, training):
        state, step = training
        after, _ = step(state, SMALL)
        assert all((a != b).any() for a, b in zip(*map(jax.tree.leaves, (state.params, after.params)), strict=True))
        for path, leaf in jax.tree.leaves_with_path(state.params):
            spread = 0.02 if path[-1].key == "kernel" else 0
            assert abs(leaf.std() - spread) < 0.1 * spread + 1e-9, path

    def test_finetuning_leaves_the_edge_players_alone(self, training):
        state, _ = training
        after, _ = compiled_step("finetune")(state, SMALL)
        for player in PLAYERS:
            for kept in ("params", "stats", "opt"):
                old, new = (jax.tree.leaves(getattr(s, kept)[player]) for s in (state, after))
                same = [(a == b).all() for a, b in zip(old, new, strict=True)]
                moves = not player.startswith("edge") and old  # the generator has no running statistics
                assert not all(same) if moves else all(same), (player, kept)


@pytest.mark.parametrize("size", [(33, 50), (1, 1)])
def test_any_size_is_painted_and_by_given_pixels_alone(few_blocks, size):
    model, batch = EdgeConnect(TINY), draw_batch(4, size, jnp.float32)
    rng = np.random.default_rng(5)
    params, stats = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(0, 0.1, leaf.shape), jnp.float32),
                                 jax.eval_shape(model.init, KEY, SMALL))
    paint = jax.jit(model.paint)
    clean, *poisoned = (
        paint(params, stats, batch._replace(image=jnp.where(batch.known > 0, batch.image, hidden)), KEY)
        for hidden in (batch.image, 1e30, jnp.nan))  # fmt: skip
    assert clean.raw.shape == batch.image.shape and np.isfinite(clean.raw).all()
    np.testing.assert_array_equal(*(np.where(batch.known > 0, x, 0) for x in (clean.image, batch.image)))
    for other in poisoned:
        for a, b in zip(clean[0::2], other[0::2], strict=True):
            jax.tree.map(np.testing.assert_array_equal, a, b)
