"""The discriminator of Table 3: five spectrally normalised convolutions, one verdict per patch."""

import flax.linen as nn
from jaxtyping import Array, Float

from mai_jax.nn.precision import narrow, wide

LAYERS = ((1, 2), (2, 2), (4, 2), (8, 1))  # (multiple of the width, stride) of Conv1-Conv4


class PatchDiscriminator(nn.Module):
    """Images in [0, 1] to logits, > 0 = "real"; the sigmoid of Table 3 is part of the loss.

    The kernel of 4 with padding 1 makes 30x30 verdicts of 256x256 pixels, where the table rounds to Ori/8. Each call
    takes one step of power iteration; `update_stats` keeps it (collection "batch_stats").
    """

    width: int = 64
    leaky_slope: float = 0.2
    dtype: str = "float32"  # of the activations; the logits are float32

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"], *, update_stats: bool) -> Float[Array, "b h2 w2 1"]:
        x = narrow(images, self.dtype)
        for i, (multiple, stride) in enumerate(LAYERS, start=1):
            x = self._convolve(x, f"conv{i}", self.width * multiple, stride, update_stats)
            x = nn.leaky_relu(x, self.leaky_slope)
        return wide(self._convolve(x, "conv5", 1, 1, update_stats))

    def _convolve(self, x: Array, name: str, features: int, stride: int, update_stats: bool) -> Array:
        conv = nn.Conv(features, (4, 4), (stride, stride), padding=1, dtype=x.dtype, name=name)
        return nn.SpectralNorm(conv, name=f"{name}_norm")(x, update_stats=update_stats)
