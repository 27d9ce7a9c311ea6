"""LaMa against its specification in PyTorch with the same weights, and from both kinds of public files."""

import dataclasses
import itertools
import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from mai_jax.batch import Batch
from mai_jax.cli.main import main
from mai_jax.config import Config, LaMa
from mai_jax.convert import lama as converter
from mai_jax.convert.state_dict import Tensors
from mai_jax.inference.model_loading import load_model
from mai_jax.models import MODELS, lama
from tests.models.tiny_lama import KEY, TINY, draw_batch, losses_and_gradients

torch = pytest.importorskip("torch", reason="PyTorch is the oracle: install the extra `dev`")
in_torch = pytest.importorskip("tests.models.lama_in_torch")

# Layers whose gradients are compared, and PyTorch's modules.
CHECKED = {
    "generator": {"encode/local_to_local": "model.1.ffc.convl2l", "down_2/local_to_local": "model.3.ffc.convl2l",
                  "block_1_1/global_to_local": "model.5.conv1.ffc.convg2l",
                  "block_2_1/global_to_global/fourier/conv": "model.6.conv1.ffc.convg2g.fu.conv_layer",
                  "up_1": "model.8", "output": "model.18"},
    "discriminator": {f"conv{i + 1}": f"model{i}.0" for i in range(6)},
}  # fmt: skip


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


def test_the_hole_is_not_read_and_any_size_is_predicted(variables):
    predict = jax.jit(MODELS["lama"](TINY).predict)
    for size in ((33, 50), (1, 1), (3, 17)):
        batch = draw_batch(size)
        batch = batch._replace(valid=batch.valid.at[:, -1, -1].set(0))
        clean, *poisoned = (
            predict(variables, batch._replace(image=jnp.where(batch.valid > 0, batch.image, hidden)), KEY)
            for hidden in (batch.image, 1e30, jnp.nan))  # fmt: skip
        assert clean.raw.shape == batch.image.shape and np.isfinite(clean.raw).all()
        np.testing.assert_array_equal(*(np.where(batch.valid > 0, x, 0) for x in (clean.image, batch.image)))
        for other in poisoned:
            np.testing.assert_array_equal(clean.image, other.image)


@pytest.fixture(scope="module")
def files(source, tmp_path_factory):
    """A checkpoint like those of PyTorch Lightning, and a TorchScript archive."""
    folder = tmp_path_factory.mktemp("lama")
    networks = in_torch.Training(4, 2, 4).eval()
    networks.load_state_dict(source.state_dict())
    others = {"val_evaluator.scores.ssim.window": torch.ones(3), "loss_resnet_pl.impl.conv1.weight": torch.ones(2)}
    optimizer = torch.optim.Adam(networks.parameters())
    torch.save({"epoch": 3, "global_step": 7, "pytorch-lightning_version": "1.2.9",
                "state_dict": networks.state_dict() | others, "optimizer_states": [optimizer.state_dict()]},
               folder / "best.ckpt")  # fmt: skip
    example = torch.rand(1, 3, 32, 32), torch.ones(1, 1, 32, 32)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # PyTorch's successors to TorchScript
        torch.jit.trace(in_torch.Wrapper(networks).eval(), example).save(folder / "big-lama.pt")
    return folder


def run(file, output, *more) -> int:
    return main(["convert", "lama", f"--generator={file}", f"--output={output}", "--image-size=32", *more])


@pytest.fixture(scope="module")
def converted(files, tmp_path_factory):
    """Folders of the checkpoint, with its discriminator, and of the archive."""
    folder, checkpoint = tmp_path_factory.mktemp("converted"), files / "best.ckpt"
    assert run(checkpoint, folder / "best.ckpt", f"--discriminator={checkpoint}") == 0
    assert run(files / "big-lama.pt", folder / "big-lama.pt") == 0
    return folder


@pytest.mark.parametrize(("file", "networks"), [
    ("best.ckpt", ["generator", "discriminator"]), ("big-lama.pt", ["generator"]),
])  # fmt: skip
def test_the_public_files_are_converted(converted, variables, file, networks):
    _, config, found, _ = load_model(converted / file)
    assert (config.lama.width, config.lama.blocks, config.lama.discriminator_width) == (
        4, 2, 4 if "discriminator" in networks else 64)
    for collection, network in itertools.product(("params", "batch_stats"), networks):
        jax.tree.map(np.testing.assert_array_equal, found[collection][network], variables[collection][network])


def test_an_archive_predicts_what_torchscript_predicts(files, converted):
    model, _, converted, _ = load_model(converted / "big-lama.pt")
    batch = draw_batch((40, 48))
    found = model.predict(converted, batch, KEY)
    with torch.inference_mode(), warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        expected = to_numpy(torch.jit.load(files / "big-lama.pt")(to_torch(batch.image), to_torch(1 - batch.valid)))
    np.testing.assert_allclose(found.image, expected, atol=1e-4)


@pytest.mark.parametrize(("file", "named"), [
    ("half", "damaged"), ("text", "damaged"), ("none", "no such file"),
    ("foreign", "tensor model.1.ffc.convl2l.weight is missing"),
    ("discriminator", "tensor model0.0.weight is missing"),
])  # fmt: skip
def test_other_files_are_refused(files, tmp_path, capsys, file, named):
    archive, given = (files / "big-lama.pt").read_bytes(), tmp_path / file
    more = ()
    if file == "half":
        given.write_bytes(archive[: len(archive) // 2])
    elif file == "text":
        given.write_text("<html>Quota exceeded</html>")
    elif file == "foreign":
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            torch.jit.script(torch.nn.Conv2d(3, 3, 3)).save(given)
    elif file == "discriminator":
        given = files / "best.ckpt"
        more = (f"--discriminator={files / 'big-lama.pt'}",)
    assert run(given, tmp_path / "out", *more) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and named in message
    assert not (tmp_path / "out").exists()


def test_losses_and_gradients_equal_the_specification(x64, source, variables):
    """R1, whose gradient is of second order, has a weight with which it is half of the discriminator's gradient."""
    settings = dataclasses.replace(TINY.lama, perceptual=0.0, gradient_penalty=30.0)
    config = dataclasses.replace(TINY, lama=settings, remat=True)  # which must change no number
    model, batch = MODELS["lama"](config), draw_batch((32, 32), jnp.float64, seed=1)
    terms, totals, found = jax.jit(partial(losses_and_gradients, model))(as_float64(variables), batch)

    networks = in_torch.Training(4, 2, 4).double().train()
    networks.load_state_dict(source.state_dict())
    image, hole = to_torch(batch.image), to_torch(1 - batch.valid)
    raw = networks(image, hole)
    of_generator = in_torch.generator_terms(networks, raw, image, hole)
    of_discriminator = in_torch.discriminator_terms(networks, raw, image, hole)
    expected = {f"generator/{name}": term for name, term in of_generator.items()}
    expected |= {f"discriminator/{name}": term for name, term in of_discriminator.items()}
    assert set(terms) == set(expected)
    for name, term in expected.items():
        assert term > 1e-6, name
        np.testing.assert_allclose(terms[name], term.item(), rtol=1e-8, err_msg=name)

    weights = {"l1": 10, "adversarial": 10, "feature_matching": 100}
    total = {"generator": sum(weights[name] * term for name, term in of_generator.items()),
             "discriminator": of_discriminator["adversarial"] + 30 * of_discriminator["gradient_penalty"]}
    for network, value in total.items():
        np.testing.assert_allclose(totals[network], value.item(), rtol=1e-8)
        kernels = traverse_util.flatten_dict(found[network], sep="/")
        for layer, module in CHECKED[network].items():
            weight = getattr(networks, network).get_submodule(module).weight
            (expected,) = torch.autograd.grad(value, weight, retain_graph=True)
            expected = expected.numpy().transpose(2, 3, 1, 0)
            np.testing.assert_allclose(kernels[f"{layer}/kernel"], expected, atol=1e-9 * np.abs(expected).max(),
                                       err_msg=layer)


def test_the_hole_at_the_size_of_the_logits_is_pytorchs():
    hole = np.random.default_rng(0).random((1, 256, 128, 1), np.float32)
    expected = torch.nn.functional.interpolate(to_torch(hole), size=(19, 11), mode="nearest")
    np.testing.assert_array_equal(lama.resize_nearest(jnp.asarray(hole), (19, 11)), to_numpy(expected))
