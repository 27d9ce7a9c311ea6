"""The networks of LaMa (Suvorov et al., WACV 2022): the generator of fast Fourier convolutions, the discriminator."""

import flax.linen as nn
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from mai_jax.batch import Batch
from mai_jax.nn.fourier_conv import FourierConv, Groups, batch_norm, reflect
from mai_jax.nn.precision import to_compute_dtype, to_float32
from mai_jax.nn.residual_blocks import DOUBLING

LEVELS = 3  # downsamplings
SHARE = 0.75  # of the channels of the residual blocks, which form the global group
DISCRIMINATOR = ((1, 2), (2, 2), (4, 2), (8, 2), (8, 1))  # (multiple of the width, stride); a last layer has the logits
SLOPE = 0.2  # of the discriminator's LeakyReLU

Images = Float[Array, "b h w 3"]
Map = Float[Array, "b _ _ _"]


class Generator(nn.Module):
    """The valid pixels and the hole to an image in (0, 1): the network of big-lama.

    Height and width must be multiples of 8. Pixels of the hole are replaced by 0 and not read. In training
    (`train`), batch normalization uses the statistics of the batch and updates the running ones ("batch_stats").
    """

    width: int
    blocks: int
    dtype: str = "float32"  # of the activations; the Fourier transforms and the result are float32

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> Images:
        # `where`, not a product: the content of the hole may be NaN.
        given = jnp.concatenate([jnp.where(batch.valid > 0, batch.image, 0), 1 - batch.valid], axis=-1)
        groups = Groups(to_compute_dtype(given, self.dtype), None)
        groups = FourierConv(self.width, 7, 1, 0.0, train, name="encode")(groups)
        for i in range(1, LEVELS + 1):
            share = SHARE if i == LEVELS else 0.0
            groups = FourierConv(self.width * 2**i, 3, 2, share, train, name=f"down_{i}")(groups)
        for i in range(1, self.blocks + 1):
            inner = groups
            for j in (1, 2):
                inner = FourierConv(self.width * 2**LEVELS, 3, 1, SHARE, train, name=f"block_{i}_{j}")(inner)
            groups = Groups(groups.local + inner.local, groups.whole + inner.whole)  # type: ignore[operator]  # no None
        x = groups.joined()
        for i in range(1, LEVELS + 1):
            up = nn.ConvTranspose(self.width * 2 ** (LEVELS - i), (3, 3), (2, 2), DOUBLING, transpose_kernel=True,
                                  dtype=x.dtype, name=f"up_{i}")
            x = nn.relu(batch_norm(f"up_{i}_norm", checkpoint_name(up(x), "conv"), train=train))
        return nn.sigmoid(to_float32(nn.Conv(3, (7, 7), padding=0, dtype=x.dtype, name="output")(reflect(x, 3))))


class Discriminator(nn.Module):
    """Images in [0, 1] to the maps of all layers; the last one is the logits, > 0 = "real".

    For images of 256 px they are 19x19. Batch normalization always uses the statistics of the batch.
    """

    width: int
    dtype: str = "float32"  # of the activations; the logits are float32

    @nn.compact
    def __call__(self, images: Images) -> tuple[Map, ...]:
        x, maps = to_compute_dtype(images, self.dtype), []
        for i, (multiple, stride) in enumerate(DISCRIMINATOR, start=1):
            x = self._convolve(i, self.width * multiple, stride, x)
            if i > 1:
                x = batch_norm(f"norm{i}", x, train=True)
            x = nn.leaky_relu(x, SLOPE)
            maps.append(x)
        return *maps, to_float32(self._convolve(len(DISCRIMINATOR) + 1, 1, 1, x))

    def _convolve(self, i: int, features: int, stride: int, x: Map) -> Map:
        return nn.Conv(features, (4, 4), (stride, stride), padding=2, dtype=x.dtype, name=f"conv{i}")(x)
