"""Fast Fourier convolution (Chi et al., NeurIPS 2020) as LaMa (Suvorov et al., WACV 2022) uses it.

Its channels are two groups. The local group sees its neighbourhood, the global group also the whole map: some of its
convolutions are 1x1 ones of the spectrum.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from mai_jax.nn import convolution
from mai_jax.nn.normalization import EPSILON, MOMENTUM
from mai_jax.nn.precision import to_float32

Map = Float[Array, "b _ _ _"]


class Groups(NamedTuple):
    """The two groups of channels; the first layers of a network have no global one."""

    local: Map
    whole: Map | None  # the global group; `global` is a keyword

    def joined(self) -> Map:
        return self.local if self.whole is None else jnp.concatenate([self.local, self.whole], axis=-1)


class FourierConv(nn.Module):
    """A fast Fourier convolution, batch normalization and ReLU.

    `share` of the output's channels is the global group. Padding is by reflection; no layer has a bias.
    """

    features: int
    kernel: int
    stride: int
    share: float
    train: bool

    @nn.compact
    def __call__(self, x: Groups) -> Groups:
        whole = int(self.features * self.share)
        local = self._convolve("local_to_local", self.features - whole, x.local)
        if x.whole is not None:
            local = local + self._convolve("global_to_local", self.features - whole, x.whole)
        local = nn.relu(batch_norm("local_norm", local, train=self.train))
        if not whole:
            return Groups(local, None)
        out = self._convolve("local_to_global", whole, x.local)
        if x.whole is not None:
            out = out + SpectralTransform(whole, self.train, name="global_to_global")(x.whole)
        return Groups(local, nn.relu(batch_norm("global_norm", out, train=self.train)))

    def _convolve(self, name: str, features: int, x: Map) -> Map:
        conv = nn.Conv(features, (self.kernel, self.kernel), self.stride, padding=0, use_bias=False, dtype=x.dtype,
                       conv_general_dilated=convolution.for_linen, name=name)
        return checkpoint_name(conv(reflect(x, self.kernel // 2)), "conv")


class SpectralTransform(nn.Module):
    """A `FourierUnit` at half the channels, with a shortcut around it, between two 1x1 convolutions."""

    features: int
    train: bool

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w d"]:
        x = pointwise("reduce", self.features // 2, x)
        x = nn.relu(batch_norm("reduce_norm", x, train=self.train))
        return pointwise("expand", self.features, x + FourierUnit(self.train, name="fourier")(x))


class FourierUnit(nn.Module):
    """A 1x1 convolution, batch normalization and ReLU of the real Fourier transform of a map; back to a map.

    The real and the imaginary part of a channel are two neighbouring channels of the convolution. The transforms are
    orthonormal, in float32 or wider.
    """

    train: bool

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        *_, w, c = x.shape
        spectrum = jnp.fft.rfftn(to_float32(x), axes=(1, 2), norm="ortho")
        parts = jnp.stack([spectrum.real, spectrum.imag], axis=-1).reshape(*spectrum.shape[:3], 2 * c).astype(x.dtype)
        parts = nn.relu(batch_norm("norm", pointwise("conv", 2 * c, parts), train=self.train))
        parts = to_float32(parts).reshape(*spectrum.shape, 2)
        spectrum = jax.lax.complex(parts[..., 0], parts[..., 1])
        # Two steps, because the spectrum need not be that of a real map, and libraries differ in what a real transform
        # over two axes makes of it. As in PyTorch, the last step ignores what cannot belong to real values.
        columns = jnp.fft.ifft(spectrum, axis=1, norm="ortho")
        return jnp.fft.irfft(columns, w, axis=2, norm="ortho").astype(x.dtype)


def pointwise(name: str, features: int, x: Float[Array, "b h w c"]) -> Float[Array, "b h w d"]:
    """Return a 1x1 convolution without bias, in a module's compact method."""
    conv: Any = nn.Conv(features, (1, 1), use_bias=False, dtype=x.dtype, name=name)
    return checkpoint_name(conv(x), "conv")


def batch_norm(name: str, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w c"]:
    """Return batch normalization, in a module's compact method; with running statistics unless `train`."""
    return nn.BatchNorm(not train, momentum=MOMENTUM, epsilon=EPSILON, dtype=x.dtype, name=name)(x)


def reflect(x: Map, by: int) -> Map:
    """Return the map padded by reflection on all sides; the border itself is not repeated."""
    return jnp.pad(x, ((0, 0), (by, by), (by, by), (0, 0)), mode="reflect")
