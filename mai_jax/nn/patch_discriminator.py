"""The discriminator of Table 3: five spectrally normalized convolutions, one logit per patch."""

from collections.abc import Callable

import flax.linen as nn
from jaxtyping import Array, Float

from mai_jax.nn import convolution
from mai_jax.nn.precision import to_compute_dtype, to_float32

LAYERS = ((1, 2), (2, 2), (4, 2), (8, 1))  # (multiple of the width, stride) of Conv1-Conv4


class PatchDiscriminator(nn.Module):
    """Images in [0, 1] to logits, > 0 = "real"; the sigmoid of Table 3 is part of the loss.

    Kernel 4 with padding 1 gives 30x30 logits for 256x256 pixels, where the table rounds to Ori/8. Each call computes
    one step of power iteration; `update_stats` stores it (collection "batch_stats").
    """

    width: int = 64
    leaky_slope: float = 0.2
    dtype: str = "float32"  # of the activations; the logits are float32
    use_bias: bool = True
    kernel_init: Callable[..., Array] = nn.initializers.lecun_normal()

    def __call__(self, images: Float[Array, "b h w c"], *, update_stats: bool) -> Float[Array, "b h2 w2 1"]:
        return self.maps(images, update_stats=update_stats)[-1]

    @nn.compact
    def maps(self, images: Float[Array, "b h w c"], *, update_stats: bool) -> tuple[Float[Array, "b _ _ _"], ...]:
        """Return the feature maps of all layers; the last one is the logits."""
        x, maps = to_compute_dtype(images, self.dtype), []
        for i, (multiple, stride) in enumerate(LAYERS, start=1):
            x = self._convolve(x, f"conv{i}", self.width * multiple, stride, update_stats)
            x = nn.leaky_relu(x, self.leaky_slope)
            maps.append(x)
        return *maps, to_float32(self._convolve(x, "conv5", 1, 1, update_stats))

    def _convolve(self, x: Array, name: str, features: int, stride: int, update_stats: bool) -> Array:
        conv = nn.Conv(features, (4, 4), (stride, stride), padding=1, use_bias=self.use_bias, dtype=x.dtype,
                       kernel_init=self.kernel_init, conv_general_dilated=convolution.for_linen, name=name)
        return nn.SpectralNorm(conv, name=f"{name}_norm")(x, update_stats=update_stats)
