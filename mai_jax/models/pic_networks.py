"""The networks of PIC [31]: encoder, decoder and discriminator."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mai_jax.batch import Batch, Masked
from mai_jax.models.base import deinterleave, interleave
from mai_jax.nn.precision import to_compute_dtype, to_float32
from mai_jax.nn.residual_blocks import SLOPE, FirstBlock, ResBlock, ShortLongAttention, SpectralConv, UpBlock

MULTIPLES = (2, 4, 4, 4)  # of the width: the features at 1/4, 1/8, 1/16 and 1/32 of the image; z has the last's
DOWNSAMPLING = 32  # z is a map of 1/32 of the image: 8x8 at 256
SCALES = (8, 4, 2, 1)  # downsampling of the decoder's outputs, each computed from the one before

Images = Float[Array, "b h w 3"]  # in [-1, 1] unless stated otherwise
Pyramid = list[Float[Array, "_b _h _w _c"]]  # one entry for each of SCALES


class Normal(NamedTuple):
    """A normal distribution for each entry of a feature map."""

    mean: Float[Array, "b h w c"]
    std: Float[Array, "b h w c"]

    def sample(self, rng: Array) -> Float[Array, "b h w c"]:
        return self.mean + self.std * jax.random.normal(rng, self.mean.shape, self.mean.dtype)


class Code(NamedTuple):
    """The encoder's output: the distributions of z, and features of the valid pixels at 1/8 and 1/32."""

    prior: Normal
    posterior: Normal | None
    detail: Float[Array, "b h8 w8 c"]
    coarse: Float[Array, "b h w c"]


class Encoder(nn.Module):
    """Valid pixels, and in training the hole's content, to a `Code`."""

    width: int

    @nn.compact
    def __call__(self, visible: Images, hidden: Images | None, *, update_stats: bool) -> Code:
        x = visible if hidden is None else interleave(visible, hidden)  # one call: one step of power iteration
        x = FirstBlock(self.width, name="block0")(x, update_stats=update_stats)
        maps = []
        for i, multiple in enumerate(MULTIPLES):
            x = ResBlock(multiple * self.width, down=True, name=f"encoder{i}")(x, update_stats=update_stats)
            maps.append(x)
        detail, coarse, posterior = maps[1], maps[-1], None
        if hidden is not None:
            (detail, _), (coarse, of_hidden) = deinterleave(detail), deinterleave(coarse)
            posterior = self._distribution("posterior", of_hidden, update_stats)
        x = coarse
        for i in range(6):
            x = ResBlock(x.shape[-1], name=f"infer_prior{i}")(x, update_stats=update_stats)
        return Code(self._distribution("prior", x, update_stats), posterior, detail, coarse)

    def _distribution(self, name: str, x: Float[Array, "b h w c"], update_stats: bool) -> Normal:
        moments = to_float32(ResBlock(2 * x.shape[-1], name=name)(x, update_stats=update_stats))
        mean, spread = jnp.split(moments, 2, axis=-1)
        return Normal(mean, nn.softplus(spread))


class Decoder(nn.Module):
    """z and the features of the valid pixels to the image at the four `SCALES`, in [-1, 1]."""

    width: int

    @nn.compact
    def __call__(
        self, z: Float[Array, "b h w c"], coarse: Float[Array, "b h w c"], detail: Masked, *, update_stats: bool
    ) -> Pyramid:
        x = coarse + ResBlock(coarse.shape[-1], name="generator")(z.astype(coarse.dtype), update_stats=update_stats)
        images = []
        for i, multiple in enumerate((4, 4, 4, 2, 1)):
            x = UpBlock(multiple * self.width, name=f"decoder{i}")(x, update_stats=update_stats)
            if i == 1:
                x = ShortLongAttention(name="attention")(x, detail, update_stats=update_stats)
            if i >= 1:
                padded = jnp.pad(nn.leaky_relu(x, SLOPE), ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
                image = nn.tanh(SpectralConv(3, padding="VALID", name=f"out{i}")(padded, update_stats=update_stats))
                images.append(to_float32(image))
                x = jnp.concatenate([x, image], axis=-1)
        return images


class Generator(nn.Module):
    """Encoder and decoder. Takes images in [0, 1] as `Batch` holds them."""

    width: int
    dtype: str = "float32"  # of the activations; distributions and images are float32

    def setup(self) -> None:
        self.encoder, self.decoder = Encoder(self.width), Decoder(self.width)

    def encode(self, batch: Batch, *, both: bool, update_stats: bool) -> Code:
        """Encode the valid pixels, and if `both` the hole's content. Pixels that must not be read are 0, grey."""
        image = to_compute_dtype(2 * batch.image - 1, self.dtype)
        visible = jnp.where(batch.valid > 0, image, 0)
        return self.encoder(visible, jnp.where(batch.valid > 0, 0, image) if both else None, update_stats=update_stats)

    def decode(self, z: Float[Array, "b h w c"], code: Code, batch: Batch, *, update_stats: bool) -> Pyramid:
        _, h, w, _ = code.detail.shape
        detail = Masked(code.detail, resize(batch.valid, (h, w)))
        return self.decoder(z, code.coarse, detail, update_stats=update_stats)

    def both_paths(self, batch: Batch, rng: Array, *, update_stats: bool) -> tuple[Pyramid, Pyramid, Code]:
        """Return the images from a sample of the posterior, those from one of the prior, and the `Code`."""
        code = self.encode(batch, both=True, update_stats=update_stats)
        assert code.posterior is not None  # `both` is True
        z = interleave(*(normal.sample(k) for normal, k in
                         zip((code.posterior, code.prior), jax.random.split(rng), strict=True)))
        twice = code._replace(detail=interleave(code.detail, code.detail), coarse=interleave(code.coarse, code.coarse))
        images = self.decode(z, twice, Batch(*(interleave(x, x) for x in batch)), update_stats=update_stats)
        reconstructed, generated = zip(*(deinterleave(image) for image in images), strict=True)
        return list(reconstructed), list(generated), code


class Discriminator(nn.Module):
    """Images in [-1, 1] to one score per patch, 1 = "real": 6x6 patches of 256x256 pixels."""

    width: int
    dtype: str = "float32"  # of the activations; the scores are float32

    @nn.compact
    def __call__(self, images: Images, *, update_stats: bool) -> Float[Array, "b h2 w2 1"]:
        x = FirstBlock(self.width, name="block0")(to_compute_dtype(images, self.dtype), update_stats=update_stats)
        for i, multiple in enumerate(MULTIPLES):
            if i == 2:
                x = ShortLongAttention(name="attention")(x, update_stats=update_stats)
            x = ResBlock(multiple * self.width, down=True, name=f"encoder{i}")(x, update_stats=update_stats)
        x = nn.leaky_relu(ResBlock(x.shape[-1], name="block1")(x, update_stats=update_stats), SLOPE)
        padding = "VALID" if min(x.shape[1:3]) >= 3 else "SAME"
        return to_float32(SpectralConv(1, padding=padding, name="conv")(x, update_stats=update_stats))


def resize(images: Float[Array, "b h w c"], size: tuple[int, int]) -> Float[Array, "b h2 w2 c"]:
    """Return the images resized by bilinear interpolation without antialiasing.

    The corner pixels keep their values: PyTorch's `align_corners=True`.
    """
    for axis, length in zip((1, 2), size, strict=True):
        last = images.shape[axis] - 1
        at = np.linspace(0, last, length) if length > 1 else np.zeros(1)
        low = np.floor(at).astype(int)
        share = jnp.asarray((at - low).reshape((-1, 1) if axis == 2 else (-1, 1, 1)), images.dtype)
        images = (1 - share) * images.take(low, axis) + share * images.take(np.minimum(low + 1, last), axis)
    return images
