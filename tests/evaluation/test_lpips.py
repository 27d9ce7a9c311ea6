"""LPIPS against PyTorch with the same weights, and its mathematical properties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from safetensors.numpy import save_file
from skimage import data

from mai_jax.errors import InputError
from mai_jax.evaluation import lpips

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
