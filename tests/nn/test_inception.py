"""FID's Inception-v3 against PyTorch's operations with the same weights; errors of `load` and `convert`."""

import hashlib
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from mai_jax.errors import InputError
from mai_jax.nn import inception

torch = pytest.importorskip("torch", reason="PyTorch is the oracle: install the extra `dev`")
F = torch.nn.functional


class Oracle:
    """The network in PyTorch and in float64; a layer's weights are drawn when the layer is first applied."""

    def __init__(self):
        self.tensors = {"fc.weight": np.zeros((1008, 2048), np.float32)}  # not used
        self.rng = np.random.default_rng(0)

    def __call__(self, images):
        x = torch.tensor(np.asarray(images, np.float64)).permute(0, 3, 1, 2)
        x = self.conv(x, "Conv2d_1a_3x3", 32, 3, stride=2)
        x = self.conv(x, "Conv2d_2a_3x3", 32, 3)
        x = F.max_pool2d(self.conv(x, "Conv2d_2b_3x3", 64, 3, padding=1), 3, stride=2)
        x = self.conv(self.conv(x, "Conv2d_3b_1x1", 80), "Conv2d_4a_3x3", 192, 3)
        x = F.max_pool2d(x, 3, stride=2)
        for letter, pooled in zip("bcd", (32, 64, 64), strict=True):
            x = self.chains(x, f"Mixed_5{letter}", [
                [("branch1x1", 64, 1)],
                [("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)],
                [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)],
                [self.mean, ("branch_pool", pooled, 1)],
            ])
        x = self.chains(x, "Mixed_6a", [
            [("branch3x3", 384, 3, 2)],
            [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3, 2)],
            [self.halve],
        ])
        for letter, c in zip("bcde", (128, 160, 160, 192), strict=True):
            row, column = (1, 7), (7, 1)
            x = self.chains(x, f"Mixed_6{letter}", [
                [("branch1x1", 192, 1)],
                [("branch7x7_1", c, 1), ("branch7x7_2", c, row), ("branch7x7_3", 192, column)],
                [("branch7x7dbl_1", c, 1), ("branch7x7dbl_2", c, column), ("branch7x7dbl_3", c, row),
                 ("branch7x7dbl_4", c, column), ("branch7x7dbl_5", 192, row)],
                [self.mean, ("branch_pool", 192, 1)],
            ])
        x = self.chains(x, "Mixed_7a", [
            [("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3, 2)],
            [("branch7x7x3_1", 192, 1), ("branch7x7x3_2", 192, (1, 7)), ("branch7x7x3_3", 192, (7, 1)),
             ("branch7x7x3_4", 192, 3, 2)],
            [self.halve],
        ])
        for letter, pool in (("b", self.mean), ("c", self.max)):
            double = [("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3)]
            x = self.chains(x, f"Mixed_7{letter}", [
                [("branch1x1", 320, 1)],
                [("branch3x3_1", 384, 1), ("branch3x3_2a", 384, (1, 3))],
                [("branch3x3_1", 384, 1), ("branch3x3_2b", 384, (3, 1))],
                [*double, ("branch3x3dbl_3a", 384, (1, 3))],
                [*double, ("branch3x3dbl_3b", 384, (3, 1))],
                [pool, ("branch_pool", 192, 1)],
            ])
        return x.mean(dim=(2, 3)).numpy()

    def chains(self, x, block, chains):
        """Return the concatenated branches; a convolution of stride 1 keeps the size, one of stride 2 is not padded."""
        outputs = []
        for chain in chains:
            y = x
            for link in chain:
                if callable(link):
                    y = link(y)
                    continue
                name, out, kernel, stride = (*link, 1)[:4]
                height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
                padding = (height // 2, width // 2) if stride == 1 else 0
                y = self.conv(y, f"{block}.{name}", out, (height, width), stride=stride, padding=padding)
            outputs.append(y)
        return torch.cat(outputs, dim=1)

    def conv(self, x, name, out, kernel=1, *, stride=1, padding=0):
        if f"{name}.conv.weight" not in self.tensors:
            self.draw(name, out, x.shape[1], (kernel, kernel) if isinstance(kernel, int) else kernel)
        weight, *norm = (torch.tensor(self.tensors[f"{name}.{part}"]).double() for part in (
            "conv.weight", "bn.running_mean", "bn.running_var", "bn.weight", "bn.bias"))
        x = F.conv2d(x, weight, stride=stride, padding=padding)
        return torch.relu(F.batch_norm(x, *norm, training=False, eps=1e-3))

    def draw(self, name, out, into, kernel):
        spread = (2 / (into * kernel[0] * kernel[1])) ** 0.5
        parts = {"conv.weight": spread * self.rng.standard_normal((out, into, *kernel), np.float32),
                 "bn.weight": self.rng.uniform(0.5, 1.5, out), "bn.running_var": self.rng.uniform(0.5, 1.5, out),
                 "bn.bias": self.rng.normal(0, 0.1, out), "bn.running_mean": self.rng.normal(0, 0.1, out),
                 "bn.num_batches_tracked": np.int64(7)}  # fmt: skip
        for part, value in parts.items():
            value = np.asarray(value)
            kind = np.int64 if part == "bn.num_batches_tracked" else np.float32
            self.tensors[f"{name}.{part}"] = value.astype(kind)

    mean = staticmethod(lambda x: F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False))
    max = staticmethod(lambda x: F.max_pool2d(x, 3, stride=1, padding=1))
    halve = staticmethod(lambda x: F.max_pool2d(x, 3, stride=2))


@pytest.fixture(scope="module")
def oracle():
    oracle = Oracle()
    oracle(np.zeros((1, 75, 75, 3)))  # draws the weights
    return oracle


@pytest.fixture(scope="module")
def weights_file(oracle, tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "weights.safetensors"
    save_file(oracle.tensors, path)
    return path


def test_equals_pytorch(oracle, weights_file):
    images = np.random.default_rng(1).uniform(-1, 1, (1, inception.SIZE, inception.SIZE, 3)).astype(np.float32)
    expected = oracle(images)
    assert expected.shape == (1, inception.FEATURES)
    found = jax.jit(inception.Inception().apply)({"params": inception.load(weights_file)}, images)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * expected.max())


def test_convert_writes_what_load_reads(oracle, weights_file, tmp_path, monkeypatch):
    published, path = tmp_path / "published.pth", tmp_path / "fid.safetensors"
    torch.save({name: torch.tensor(value) for name, value in oracle.tensors.items()}, published)
    with pytest.raises(InputError, match=r"published\.pth: sha256 is .* fetch it again"):
        inception.convert(published, path)
    monkeypatch.setattr(inception, "PUBLISHED_SHA256", hashlib.sha256(published.read_bytes()).hexdigest())
    inception.convert(published, path)
    for a, b in zip(*map(jax.tree.leaves, (inception.load(path), inception.load(weights_file))), strict=True):
        np.testing.assert_array_equal(a, b)


def test_convert_does_not_execute_a_file(tmp_path, monkeypatch):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    published = tmp_path / "published.pth"
    torch.save({"fc.weight": Attack()}, published)
    monkeypatch.setattr(inception, "PUBLISHED_SHA256", hashlib.sha256(published.read_bytes()).hexdigest())
    with pytest.raises(Exception, match="mkdir"):
        inception.convert(published, tmp_path / "fid.safetensors")
    assert not (tmp_path / "executed").exists()


def write_wrong_shape(tensors, path):
    save_file(tensors | {"Mixed_7c.branch_pool.conv.weight": np.zeros((320, 2048, 1, 1), np.float32)}, path)


def omit_tensor(tensors, path):
    save_file({name: tensor for name, tensor in tensors.items() if name != "Mixed_6e.branch1x1.bn.running_var"}, path)


def write_text(tensors, path):
    path.write_text("404: the file was moved")


def write_nothing(tensors, path):
    pass


@pytest.mark.parametrize(("write", "named"), [
    (write_wrong_shape, ["Mixed_7c.branch_pool.conv.weight", "(320, 2048, 1, 1)", "(192, 2048, 1, 1)"]),
    (omit_tensor, ["Mixed_6e.branch1x1.bn.running_var", "torchvision"]),
    (write_text, [".safetensors"]),
    (write_nothing, ["no such file", "convert"]),
])
def test_load_names_the_file_and_the_tensor(oracle, tmp_path, write, named):
    path = tmp_path / "weights.safetensors"
    write(oracle.tensors, path)
    with pytest.raises(InputError) as error:
        inception.load(path)
    message = str(error.value)
    assert "\n" not in message
    assert [part for part in [str(path), *named] if part not in message] == []
