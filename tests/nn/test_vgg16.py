"""VGG-16 features against PyTorch's convolutions with the same weights; errors of `load`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from mai_jax.errors import InputError
from mai_jax.nn import vgg

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # of ImageNet

# position in torchvision's `features`: channels in, out; None = max pooling
PLAN = {0: (3, 64), 2: (64, 64), 4: None, 5: (64, 128), 7: (128, 128), 9: None,
        10: (128, 256), 12: (256, 256), 14: (256, 256), 16: None}


@pytest.fixture(scope="module")
def tensors():
    """Random weights in torchvision's naming, with two tensors that are not used."""
    rng = np.random.default_rng(0)
    tensors = {"features.17.bias": np.zeros(512, np.float32), "classifier.0.bias": np.zeros(7, np.float32)}
    for position, channels in PLAN.items():
        if channels:
            into, out = channels
            weight = rng.normal(size=(out, into, 3, 3)) * (2 / (9 * into)) ** 0.5
            tensors[f"features.{position}.weight"] = weight.astype(np.float32)
            tensors[f"features.{position}.bias"] = rng.normal(size=out).astype(np.float32)
    return tensors


@pytest.mark.parametrize(("size", "normalize"), [((16, 24), True), ((19, 13), True), ((16, 24), False)])
def test_equals_pytorch(x64, tensors, tmp_path, size, normalize):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle: install the extra `dev`")
    save_file(tensors, tmp_path / "vgg.safetensors")
    params = vgg.load(vgg.VGG16_POOLED, tmp_path / "vgg.safetensors")
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
    images = np.random.default_rng(1).random((2, *size, 3))

    x, expected = torch.tensor(images).permute(0, 3, 1, 2), []
    mean, std = (torch.tensor(v).double()[:, None, None] for v in (MEAN, STD))
    x = (x - mean) / std if normalize else x
    for position, channels in PLAN.items():
        if channels:
            parts = (torch.tensor(tensors[f"features.{position}.{kind}"]).double() for kind in ("weight", "bias"))
            x = torch.relu(torch.nn.functional.conv2d(x, *parts, padding=1))
        else:
            x = torch.nn.functional.max_pool2d(x, 2)
            expected.append(x.permute(0, 2, 3, 1).numpy())

    features = vgg.VGG16Features(normalize=normalize).apply({"params": params}, jnp.asarray(images))
    assert len(features) == 3
    for a, b in zip(features, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def test_random_weights_have_the_width_and_depend_on_the_seed_only():
    images = jnp.asarray(np.random.default_rng(2).random((1, 16, 8, 3)), jnp.float32)

    def features(seed):
        params = vgg.random_params(vgg.VGG16_POOLED, seed, 4)
        return jax.jit(vgg.VGG16Features(width=4).apply)({"params": params}, images)

    first, repeated, other = map(features, (0, 0, 1))
    assert [feature.shape for feature in first] == [(1, 8, 4, 4), (1, 4, 2, 8), (1, 2, 1, 16)]
    for a, b, c in zip(first, repeated, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.any(a != c)


def write_wrong_shape(tensors, path):
    save_file(tensors | {"features.5.weight": np.zeros((128, 64, 5, 5), np.float32)}, path)


def omit_tensor(tensors, path):
    save_file({name: tensor for name, tensor in tensors.items() if name != "features.12.bias"}, path)


def write_text(tensors, path):
    path.write_text("404: the file was moved")


def truncate(tensors, path):
    save_file(tensors, path)
    path.write_bytes(path.read_bytes()[:-100])


def write_nothing(tensors, path):
    pass


@pytest.mark.parametrize(("write", "named"), [
    (write_wrong_shape, ["features.5.weight", "(128, 64, 5, 5)", "(128, 64, 3, 3)"]),
    (omit_tensor, ["features.12.bias", "torchvision"]),
    (write_text, []),
    (truncate, []),
    (write_nothing, []),
])
def test_load_names_the_file_and_the_tensor(tensors, tmp_path, write, named):
    path = tmp_path / "weights.safetensors"
    write(tensors, path)
    with pytest.raises(InputError) as error:
        vgg.load(vgg.VGG16_POOLED, path)
    message = str(error.value)
    assert "\n" not in message
    assert [part for part in [str(path), *named] if part not in message] == []
