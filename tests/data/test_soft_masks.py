"""Masks with soft edges: which grey becomes which weight."""

import io

import numpy as np
import pytest
from PIL import Image

from mai_jax.data import soft_masks
from mai_jax.errors import InputError

RAMP = np.tile(np.arange(256, dtype=np.uint8), (4, 1))


def read(values, means="hole", **settings):
    image = values if isinstance(values, Image.Image) else Image.fromarray(values)
    return soft_masks.interpret(image, "m", means, **settings)


@pytest.mark.parametrize(("values", "what"), [
    (RAMP, "the brightness"),
    (RAMP.astype(np.uint16) * 257, "the brightness"),
    (RAMP[..., None].repeat(3, -1), "the brightness"),
    (Image.fromarray(RAMP).convert("P"), "the brightness"),
    (np.dstack([RAMP, RAMP, RAMP, np.full_like(RAMP, 255)]), "the brightness"),
    (np.dstack([np.full_like(RAMP, value) for value in (200, 10, 10)] + [RAMP]), "the opacity of the strokes"),
    (np.dstack([np.zeros((*RAMP.shape, 3), np.uint8), RAMP]), "the opacity of the strokes"),
])
def test_the_grey_or_the_opacity_is_the_weight(values, what):
    for means, expected in (("hole", RAMP), ("valid", 255 - RAMP), ("known", 255 - RAMP)):
        mask = read(values, means)
        np.testing.assert_array_equal(mask.weight, expected)
        assert mask.reading == f"{what} says how much of a pixel is {'filled' if means == 'hole' else 'kept'}"


def test_noise_of_a_jpeg_is_no_hole():
    values = np.zeros((40, 40), np.uint8)
    values[10:25, 10:25] = 255
    file = io.BytesIO()
    Image.fromarray(values).save(file, "JPEG")
    weight = read(Image.open(file), is_jpeg=True).weight
    assert (weight[32:] == 0).all() and (weight[16:24, 16:24] == 255).all() and 0 < np.mean(weight == 255) < 0.2


@pytest.mark.parametrize(("values", "message"), [
    (RAMP // 255, "brightest value is 1 of 255"),
    (np.dstack([RAMP, 255 - RAMP, RAMP]), "has colours"),
    (RAMP.astype(np.float32), "32 bits"),
])
def test_what_has_no_greys_is_refused(values, message):
    with pytest.raises(InputError, match=f"^m: .*{message}"):
        read(values)
