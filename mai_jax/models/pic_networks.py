"""The networks of PIC [31]: what may be hidden in the hole, what to paint from a draw of it, and who judges that."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mai_jax.nn.precision import narrow, wide
from mai_jax.nn.residual_blocks import SLOPE, FirstBlock, ResBlock, ShortLongAttention, SpectralConv, UpBlock
from mai_jax.nn.resize import resize
from mai_jax.types import Batch, Masked

MULTIPLES = (2, 4, 4, 4)  # of the width: the features at 1/4, 1/8, 1/16 and 1/32 of the image; z has the last's
SHRINK = 32  # z is a map of 1/32 of the image: 8x8 at 256
SCALES = (8, 4, 2, 1)  # the decoder paints the image this many times smaller, each from the one before

Images = Float[Array, "b h w 3"]  # in [-1, 1] wherever nothing else is said
Pyramid = list[Float[Array, "_b _h _w _c"]]  # one entry for each of SCALES


class Normal(NamedTuple):
    """A normal distribution for each entry of a feature map."""

    mean: Float[Array, "b h w c"]
    std: Float[Array, "b h w c"]

    def draw(self, key: Array) -> Float[Array, "b h w c"]:
        return self.mean + self.std * jax.random.normal(key, self.mean.shape, self.mean.dtype)


class Code(NamedTuple):
    """What the encoder makes of an image: how z is distributed, and features of the visible pixels at 1/8 and 1/32."""

    prior: Normal
    posterior: Normal | None
    detail: Float[Array, "b h8 w8 c"]
    coarse: Float[Array, "b h w c"]


class Encoder(nn.Module):
    """The visible pixels, and in training the hidden ones, to a `Code`."""

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
            (detail, _), (coarse, of_hidden) = part(detail), part(coarse)
            posterior = self._distribution("posterior", of_hidden, update_stats)
        x = coarse
        for i in range(6):
            x = ResBlock(x.shape[-1], name=f"infer_prior{i}")(x, update_stats=update_stats)
        return Code(self._distribution("prior", x, update_stats), posterior, detail, coarse)

    def _distribution(self, name: str, x: Float[Array, "b h w c"], update_stats: bool) -> Normal:
        mean, spread = jnp.split(wide(ResBlock(2 * x.shape[-1], name=name)(x, update_stats=update_stats)), 2, axis=-1)
        return Normal(mean, nn.softplus(spread))


class Decoder(nn.Module):
    """z and the features of the visible pixels to the image at four sizes, `SCALES`, in [-1, 1]."""

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
                images.append(wide(image))
                x = jnp.concatenate([x, image], axis=-1)
        return images


class Generator(nn.Module):
    """Encoder and decoder, one player. Takes images in [0, 1] as `Batch` holds them."""

    width: int
    dtype: str = "float32"  # of the activations; distributions and images are float32

    def setup(self) -> None:
        self.encoder, self.decoder = Encoder(self.width), Decoder(self.width)

    def encode(self, batch: Batch, *, both: bool, update_stats: bool) -> Code:
        """`both`: the hole's content too. What is not to be seen is grey, 0."""
        image = narrow(2 * batch.image - 1, self.dtype)
        visible = jnp.where(batch.known > 0, image, 0)
        return self.encoder(visible, jnp.where(batch.known > 0, 0, image) if both else None, update_stats=update_stats)

    def decode(self, z: Float[Array, "b h w c"], code: Code, batch: Batch, *, update_stats: bool) -> Pyramid:
        detail = Masked(code.detail, resize(batch.known, code.detail.shape[1:3]))
        return self.decoder(z, code.coarse, detail, update_stats=update_stats)

    def both_paths(self, batch: Batch, key: Array, *, update_stats: bool) -> tuple[Pyramid, Pyramid, Code]:
        """Images painted from a draw of the posterior, from one of the prior, and the distributions drawn from."""
        code = self.encode(batch, both=True, update_stats=update_stats)
        z = interleave(*(normal.draw(k) for normal, k in
                         zip((code.posterior, code.prior), jax.random.split(key), strict=True)))
        twice = code._replace(detail=interleave(code.detail, code.detail), coarse=interleave(code.coarse, code.coarse))
        images = self.decode(z, twice, Batch(*(interleave(x, x) for x in batch)), update_stats=update_stats)
        reconstructed, generated = zip(*(part(image) for image in images), strict=True)
        return list(reconstructed), list(generated), code


class Discriminator(nn.Module):
    """Images in [-1, 1] to one verdict per patch, 1 = "real": 6x6 of 256x256 pixels."""

    width: int
    dtype: str = "float32"  # of the activations; the verdicts are float32

    @nn.compact
    def __call__(self, images: Images, *, update_stats: bool) -> Float[Array, "b h2 w2 1"]:
        x = FirstBlock(self.width, name="block0")(narrow(images, self.dtype), update_stats=update_stats)
        for i, multiple in enumerate(MULTIPLES):
            if i == 2:
                x = ShortLongAttention(name="attention")(x, update_stats=update_stats)
            x = ResBlock(multiple * self.width, down=True, name=f"encoder{i}")(x, update_stats=update_stats)
        x = nn.leaky_relu(ResBlock(x.shape[-1], name="block1")(x, update_stats=update_stats), SLOPE)
        padding = "VALID" if min(x.shape[1:3]) >= 3 else "SAME"
        return wide(SpectralConv(1, padding=padding, name="conv")(x, update_stats=update_stats))


def interleave(a: Float[Array, "b *rest"], b: Float[Array, "b *rest"]) -> Float[Array, "2*b *rest"]:
    """One batch in which both alternate: with one behind the other, images would travel from device to device."""
    return jnp.stack([a, b], axis=1).reshape(-1, *a.shape[1:])


def part(both: Float[Array, "both *rest"]) -> tuple[Float[Array, "b *rest"], Float[Array, "b *rest"]]:
    """What `interleave` joined."""
    both = both.reshape(-1, 2, *both.shape[1:])
    return both[:, 0], both[:, 1]
