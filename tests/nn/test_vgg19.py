"""VGG-19 features against PyTorch's convolutions with the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from mai_jax.config import VGG16
from mai_jax.nn import vgg

# The widths of torchvision's `features` up to conv5_2: every convolution is followed by a ReLU; M = max pooling.
PLAN = [64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512, 512]


def test_equals_pytorch_without_normalization(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle: install the extra `dev`")
    layers, into = [], 3
    for width in PLAN:
        if width == "M":
            layers.append(torch.nn.MaxPool2d(2))
            continue
        layers += [torch.nn.Conv2d(into, width, 3, padding=1), torch.nn.ReLU()]
        torch.nn.init.kaiming_normal_(layers[-2].weight)
        into = width
    features = torch.nn.Sequential(*layers)
    save_file({f"features.{name}": tensor.numpy() for name, tensor in features.state_dict().items()},
              tmp_path / "vgg.safetensors")
    images = np.random.default_rng(1).random((1, 35, 24, 3), np.float32)

    x, block, layer, expected = torch.tensor(images).permute(0, 3, 1, 2), 1, 1, {}
    with torch.no_grad():
        for module in features:
            x = module(x)
            if isinstance(module, torch.nn.ReLU):
                expected[f"conv{block}_{layer}"] = x.permute(0, 2, 3, 1).numpy()
                layer += 1
            elif isinstance(module, torch.nn.MaxPool2d):
                block, layer = block + 1, 1

    params = vgg.from_config(vgg.VGG19, VGG16(weights=str(tmp_path / "vgg.safetensors")))
    found = jax.jit(vgg.VGG19Rectified().apply)({"params": params}, jnp.asarray(images))
    assert found.keys() == expected.keys()
    for name, features in expected.items():
        np.testing.assert_allclose(found[name], features, rtol=1e-4, atol=1e-4 * features.max())


def test_random_weights_have_the_configs_width_and_are_cached():
    images = jnp.zeros((1, 32, 16, 3))
    shapes = jax.eval_shape(lambda: vgg.VGG19Rectified(8).init(jax.random.key(0), images)["params"])
    params = vgg.from_config(vgg.VGG19, VGG16(weights="random", width=8))
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, shapes)
    assert params is vgg.from_config(vgg.VGG19, VGG16(weights="random", width=8))
