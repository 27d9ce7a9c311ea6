"""Residual blocks of spectrally normalized convolutions, and attention over two feature maps, as in PIC [31]."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from mai_jax.batch import Masked
from mai_jax.nn.precision import to_float32

SLOPE = 0.1  # of LeakyReLU
QUERY = "query"  # name of the convolution of ShortLongAttention, the only one without spectral normalization
DOUBLING = ((1, 2), (1, 2))  # padding with which a transposed 3x3 convolution of stride 2 exactly doubles its input


class SpectralConv(nn.Module):
    """A convolution whose kernel is divided by its largest singular value; with `up` a transposed one of stride 2.

    Each call computes one step of power iteration; `update_stats` stores it (collection "batch_stats"). The singular
    value is that of the matrix with one row per output channel, or per input channel of a transposed convolution.
    """

    features: int
    kernel: int = 3
    padding: str = "SAME"
    up: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, update_stats: bool) -> Float[Array, "b h2 w2 d"]:
        window = (self.kernel, self.kernel)
        conv: nn.Module
        if self.up:
            conv = nn.ConvTranspose(
                self.features, window, (2, 2), DOUBLING, transpose_kernel=True, dtype=x.dtype, name="conv")
        else:
            conv = nn.Conv(self.features, window, padding=self.padding, dtype=x.dtype, name="conv")
        return checkpoint_name(nn.SpectralNorm(conv, name="norm")(x, update_stats=update_stats), "conv")


class FirstBlock(nn.Module):
    """Images to features at half their size; no activation precedes the first convolution."""

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 3"], *, update_stats: bool) -> Float[Array, "b h2 w2 d"]:
        inner = SpectralConv(self.features, name="conv1")(x, update_stats=update_stats)
        inner = SpectralConv(self.features, name="conv2")(nn.leaky_relu(inner, SLOPE), update_stats=update_stats)
        return _halve(inner) + SpectralConv(self.features, 1, name="bypass")(_halve(x), update_stats=update_stats)


class ResBlock(nn.Module):
    """Two convolutions with an activation before each, plus a 1x1 shortcut; `down` halves the map.

    The hidden channels are the smaller of the input's and `features`.
    """

    features: int
    down: bool = False
    slope: float = SLOPE

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, update_stats: bool) -> Float[Array, "b h2 w2 d"]:
        hidden = min(x.shape[-1], self.features)
        inner = SpectralConv(hidden, name="conv1")(nn.leaky_relu(x, self.slope), update_stats=update_stats)
        inner = SpectralConv(self.features, name="conv2")(nn.leaky_relu(inner, self.slope), update_stats=update_stats)
        if self.down:
            inner, x = _halve(inner), _halve(x)  # pooling and a 1x1 convolution commute; this order costs less
        return inner + SpectralConv(self.features, 1, name="bypass")(x, update_stats=update_stats)


class UpBlock(nn.Module):
    """A residual block that doubles the map, with instance normalization before each activation."""

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, update_stats: bool) -> Float[Array, "b h2 w2 d"]:
        hidden = min(x.shape[-1], self.features)
        inner = nn.leaky_relu(_instance_norm("norm1")(x), SLOPE)
        inner = SpectralConv(hidden, name="conv1")(inner, update_stats=update_stats)
        inner = nn.leaky_relu(_instance_norm("norm2")(inner), SLOPE)
        inner = SpectralConv(self.features, up=True, name="conv2")(inner, update_stats=update_stats)
        return inner + SpectralConv(self.features, up=True, name="bypass")(x, update_stats=update_stats)


class ShortLongAttention(nn.Module):
    """PIC's attention: self-attention in the decoder's map, and attention to the encoder's map where that is valid.

    Both use the same scores, softmax(q q^T) over all positions, with learned weights that start at 0 (gamma, alpha).
    Without `context` only the self-attention is computed, but the parameters of the rest exist: the original's
    discriminators have them too, and its parameter count includes them.
    """

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], context: Masked | None = None, *, update_stats: bool
    ) -> Float[Array, "b h w c"]:
        channels = x.shape[-1]
        query = nn.Conv(channels // 4, (1, 1), dtype=x.dtype, name=QUERY)(x)
        query = query.reshape(len(query), -1, query.shape[-1])
        scores = nn.softmax(to_float32(jnp.einsum("bqc,bkc->bqk", query, query))).astype(x.dtype)
        gamma = self.param("gamma", nn.initializers.zeros_init(), ()).astype(x.dtype)
        alpha = self.param("alpha", nn.initializers.zeros_init(), ()).astype(x.dtype)
        merge = ResBlock(channels, slope=0.01, name="merge")

        short = gamma * _take(scores, x) + x
        if context is None:
            if self.is_initializing():
                merge(jnp.concatenate([x, x], axis=-1), update_stats=update_stats)
            return short
        valid = context.valid.astype(x.dtype)  # soft at the border of the hole
        long = alpha * (1 - valid) * _take(scores, context.x) + valid * context.x
        return merge(jnp.concatenate([short, long], axis=-1), update_stats=update_stats)


def _take(scores: Float[Array, "b n n"], x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    return jnp.einsum("bqk,bkc->bqc", scores, x.reshape(len(x), -1, x.shape[-1])).reshape(x.shape)


def _halve(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    return nn.avg_pool(x, (2, 2), (2, 2))


def _instance_norm(name: str) -> nn.InstanceNorm:
    return nn.InstanceNorm(epsilon=1e-5, use_fast_variance=False, name=name)


def init_values(key: Array, shapes: dict[str, Any]) -> dict[str, Any]:
    """Return initial variables ("params" and "batch_stats") of the shapes that `jax.eval_shape` gives.

    Kernels and biases of convolutions are uniform in +-1/sqrt(fan in), PyTorch's default, whose fan in of a transposed
    convolution counts its output channels; the vectors of power iteration are normal; scales and variances are 1,
    everything else is 0. The query convolutions are orthogonal with gain 0.02, and without bias: PIC's authors
    initialize all layers so, but their function does not find the weights of a spectrally normalized one, which keep
    PyTorch's default.
    One random array is split for all: on CPU, compiling one draw for each of about 300 arrays takes 30 s.
    """
    flat = traverse_util.flatten_dict(shapes)
    bounds = {}
    for path in flat:
        kernel = flat.get((*path[:-1], "kernel"))
        if kernel is not None and path[-2] != QUERY:
            bounds[path] = math.prod(kernel.shape[:-1]) ** -0.5
    uniform_key, normal_key, query_key = jax.random.split(key, 3)
    uniform = _draw(jax.random.uniform, uniform_key, {path: flat[path] for path in bounds})
    values = {path: bounds[path] * (2 * value - 1) for path, value in uniform.items()}
    vectors = {path: leaf for path, leaf in flat.items() if path[-1].endswith("/u")}
    values |= _draw(jax.random.normal, normal_key, vectors)
    orthogonal = nn.initializers.orthogonal(0.02)
    values |= {path: orthogonal(query_key, leaf.shape, leaf.dtype) for path, leaf in flat.items()
               if path[-2:] == (QUERY, "kernel")}  # one in each network
    for path, leaf in flat.items():
        if path not in values:
            values[path] = jnp.full(leaf.shape, path[-1].endswith(("scale", "/sigma", "var")), leaf.dtype)
    return traverse_util.unflatten_dict(values)


def _draw(distribution: Any, key: Array, shapes: dict[Any, Any]) -> dict[Any, Array]:
    """Return arrays of these shapes, float32, from one call of `distribution`."""
    if not shapes:
        return {}
    ends = np.cumsum([math.prod(leaf.shape) for leaf in shapes.values()])
    parts = jnp.split(distribution(key, (int(ends[-1]),), jnp.float32), ends[:-1])
    return {path: part.reshape(leaf.shape) for (path, leaf), part in zip(shapes.items(), parts, strict=True)}
