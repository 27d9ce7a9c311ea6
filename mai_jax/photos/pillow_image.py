"""Samples of up to 8 bits as an image of Pillow."""

import numpy as np
from PIL import Image

from mai_jax.photos.photo import Samples


def pillow_image(samples: Samples) -> Image.Image:
    """The same samples; grey of one bit has Pillow's mode "1"."""
    values, (height, width) = samples.values, samples.values.shape[:2]
    if samples.depth == 1 and samples.mode == "L":
        return Image.frombytes("1", (width, height), np.packbits(values[..., 0], axis=1).tobytes())
    image = Image.frombytes(samples.mode, (width, height), values.tobytes())
    if samples.palette is not None:
        image.putpalette(samples.palette[:, :3].tobytes())
    return image
