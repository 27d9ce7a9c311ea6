"""The Inception-v3 of the Fréchet inception distance, up to its 2048 pooled features.

This is the network of the definition of FID (Heusel et al. 2017): TensorFlow's release of 2015-12-05, as ported by
pytorch-fid. It differs from the usual Inception-v3 not only in its weights: average pooling does not count the padding,
and the last block uses max pooling.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Float

from mai_jax.errors import InputError
from mai_jax.nn import weights

Map = Float[Array, "b _ _ _"]

SIZE = 299  # height and width in pixels of the training images
FEATURES = 2048
NORM_EPSILON = 1e-3
KIND = "weights of FID's Inception-v3 in torchvision's naming (mai_jax.nn.inception.convert writes them)"
PUBLISHED_AS = "pt_inception-2015-12-05-6726825d.pth"  # a release of github.com/mseitzer/pytorch-fid
PUBLISHED_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


class Inception(nn.Module):
    """Images in [-1, 1], at least 75 x 75 pixels, to the mean of the last feature map over its positions.

    There is no BatchNorm: `load` folds it into the convolutions.
    """

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b 2048"]:
        x = _conv(images, "Conv2d_1a_3x3", 32, (3, 3), stride=2)
        x = _conv(x, "Conv2d_2a_3x3", 32, (3, 3), padding="VALID")
        x = _conv(x, "Conv2d_2b_3x3", 64, (3, 3))
        x = _halve(x)
        x = _conv(x, "Conv2d_3b_1x1", 80)
        x = _conv(x, "Conv2d_4a_3x3", 192, (3, 3), padding="VALID")
        x = _halve(x)
        for name, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
            x = BlockA(pooled, name=name)(x)
        x = BlockB(name="Mixed_6a")(x)
        for name, width in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
            x = BlockC(width, name=name)(x)
        x = BlockD(name="Mixed_7a")(x)
        x = BlockE(name="Mixed_7b")(x, _mean)
        x = BlockE(name="Mixed_7c")(x, _max)
        return jnp.mean(x, axis=(1, 2))


class BlockA(nn.Module):
    """Branches of 1x1, 5x5 and two 3x3 convolutions, and of average pooling."""

    pooled: int  # channels of the pooling branch

    @nn.compact
    def __call__(self, x: Map) -> Map:
        single = _conv(x, "branch1x1", 64)
        five = _conv(_conv(x, "branch5x5_1", 48), "branch5x5_2", 64, (5, 5))
        double = _conv(_conv(x, "branch3x3dbl_1", 64), "branch3x3dbl_2", 96, (3, 3))
        double = _conv(double, "branch3x3dbl_3", 96, (3, 3))
        return _join(single, five, double, _conv(_mean(x), "branch_pool", self.pooled))


class BlockB(nn.Module):
    """Halve the map: branches of one and of three convolutions, and of max pooling."""

    @nn.compact
    def __call__(self, x: Map) -> Map:
        three = _conv(x, "branch3x3", 384, (3, 3), stride=2)
        double = _conv(_conv(x, "branch3x3dbl_1", 64), "branch3x3dbl_2", 96, (3, 3))
        return _join(three, _conv(double, "branch3x3dbl_3", 96, (3, 3), stride=2), _halve(x))


class BlockC(nn.Module):
    """Branches of 1x1, 7x7 and two 7x7 convolutions, each 7x7 as 1x7 and 7x1, and of average pooling."""

    width: int

    @nn.compact
    def __call__(self, x: Map) -> Map:
        single = _conv(x, "branch1x1", 192)
        seven = _conv(_conv(x, "branch7x7_1", self.width), "branch7x7_2", self.width, (1, 7))
        seven = _conv(seven, "branch7x7_3", 192, (7, 1))
        double = _conv(_conv(x, "branch7x7dbl_1", self.width), "branch7x7dbl_2", self.width, (7, 1))
        double = _conv(_conv(double, "branch7x7dbl_3", self.width, (1, 7)), "branch7x7dbl_4", self.width, (7, 1))
        double = _conv(double, "branch7x7dbl_5", 192, (1, 7))
        return _join(single, seven, double, _conv(_mean(x), "branch_pool", 192))


class BlockD(nn.Module):
    """Halve the map: branches of 3x3 and of 7x7 and 3x3 convolutions, and of max pooling."""

    @nn.compact
    def __call__(self, x: Map) -> Map:
        three = _conv(_conv(x, "branch3x3_1", 192), "branch3x3_2", 320, (3, 3), stride=2)
        seven = _conv(_conv(x, "branch7x7x3_1", 192), "branch7x7x3_2", 192, (1, 7))
        seven = _conv(_conv(seven, "branch7x7x3_3", 192, (7, 1)), "branch7x7x3_4", 192, (3, 3), stride=2)
        return _join(three, seven, _halve(x))


class BlockE(nn.Module):
    """Branches as in block A, but each last 3x3 convolution is a 1x3 and a 3x1 in parallel."""

    @nn.compact
    def __call__(self, x: Map, pool: Callable[[Map], Map]) -> Map:
        single = _conv(x, "branch1x1", 320)
        three = _conv(x, "branch3x3_1", 384)
        double = _conv(_conv(x, "branch3x3dbl_1", 448), "branch3x3dbl_2", 384, (3, 3))
        crossed = [
            _conv(branch, f"{name}{side}", 384, kernel)
            for branch, name in ((three, "branch3x3_2"), (double, "branch3x3dbl_3"))
            for side, kernel in (("a", (1, 3)), ("b", (3, 1)))
        ]
        return _join(single, *crossed, _conv(pool(x), "branch_pool", 192))


def _conv(
    x: Map, name: str, features: int, kernel: tuple[int, int] = (1, 1), *, stride: int = 1, padding: str | None = None
) -> Map:
    """Apply a convolution and ReLU. The default padding is "SAME" for stride 1 and "VALID" for stride 2."""
    padding = padding or {1: "SAME", 2: "VALID"}[stride]
    return nn.relu(nn.Conv(features, kernel, stride, padding, name=name)(x))


def _halve(x: Map) -> Map:
    return nn.max_pool(x, (3, 3), (2, 2))


def _mean(x: Map) -> Map:
    return nn.avg_pool(x, (3, 3), (1, 1), "SAME", count_include_pad=False)


def _max(x: Map) -> Map:
    return nn.max_pool(x, (3, 3), (1, 1), "SAME")


def _join(*branches: Map) -> Map:
    return jnp.concatenate(branches, axis=-1)


def load(path: str | Path) -> dict[str, Any]:
    """Return parameters of `Inception()` from a .safetensors file in torchvision's naming; other tensors are ignored.

    BatchNorm's statistics, scale and shift are folded into kernel and bias, in float64.

    Raises InputError for a file that is missing, damaged, or holds other shapes.
    """
    image = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), jnp.float32)
    expected = jax.eval_shape(Inception().init, jax.random.key(0), image)["params"]
    kernels = {path[:-1]: leaf.shape for path, leaf in flatten_dict(expected).items() if path[-1] == "kernel"}
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, (height, width, into, out) in kernels.items():
        name = ".".join(layer)
        shapes[f"{name}.conv.weight"] = (out, into, height, width)
        shapes |= {f"{name}.bn.{part}": (out,) for part in ("weight", "bias", "running_mean", "running_var")}
    tensors = weights.read(Path(path), shapes, KIND)
    params = {}
    for layer in kernels:
        kernel, bias = _fold(tensors, ".".join(layer))
        params[*layer, "kernel"], params[*layer, "bias"] = jnp.asarray(kernel), jnp.asarray(bias)
    return unflatten_dict(params)


def _fold(tensors: dict[str, np.ndarray], layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel (HWIO) and bias of the convolution that equals this convolution followed by its BatchNorm."""
    scale, shift, mean, variance = (
        tensors[f"{layer}.bn.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
    )
    gain = scale / np.sqrt(variance + NORM_EPSILON)
    kernel = tensors[f"{layer}.conv.weight"].transpose(2, 3, 1, 0) * gain
    return kernel.astype(np.float32), (shift - mean * gain).astype(np.float32)


def convert(published: str | Path, path: str | Path) -> None:
    """Write the file that `load` reads, from the published PyTorch file, of which only tensors are unpickled.

    Needed once, on a machine with PyTorch; with P the published file:
    `python -c "from mai_jax.nn import inception; inception.convert('P', 'fid.safetensors')"`

    Raises InputError for any file other than the published one.
    """
    import torch
    from safetensors.torch import save_file

    published = Path(published)
    if not published.is_file():
        raise InputError(f"{published}: no such file; it is a release of github.com/mseitzer/pytorch-fid")
    weights.check(published, PUBLISHED_SHA256, f"only {PUBLISHED_AS} defines FID: fetch it again")
    save_file(torch.load(published, map_location="cpu", weights_only=True), path)
