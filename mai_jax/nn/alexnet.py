"""AlexNet up to its last convolution, as in torchvision: the features of LPIPS that MAT and others report."""

import flax.linen as nn
from jaxtyping import Array, Float

Map = Float[Array, "b _ _ _"]

# Features, side of the kernel, stride, padding, and whether max pooling comes before.
LAYERS = {
    "conv1": (64, 11, 4, 2, False),
    "conv2": (192, 5, 1, 2, True),
    "conv3": (384, 3, 1, 1, True),
    "conv4": (256, 3, 1, 1, False),
    "conv5": (256, 3, 1, 1, False),
}


class AlexNetRectified(nn.Module):
    """Normalized images, at least 31 x 31 pixels, to the five rectified maps."""

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"]) -> tuple[Map, ...]:
        x, rectified = images, []
        for name, (features, side, stride, padding, pooled) in LAYERS.items():
            x = nn.max_pool(x, (3, 3), (2, 2)) if pooled else x
            x = nn.relu(nn.Conv(features, (side, side), stride, padding=padding, name=name)(x))
            rectified.append(x)
        return tuple(rectified)
