"""Encoded PNG files, read back by Pillow and by zlib."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from mai_jax.evaluation.mask_benchmark import plain_png


@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (5, 13), (64, 7), (800, 801)])  # the last: two stored blocks
def test_pillow_reads_the_pixels(shape):
    white = np.random.default_rng(0).random(shape) < 0.3
    with Image.open(io.BytesIO(plain_png.encode(white))) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "1", shape[::-1])
        np.testing.assert_array_equal(np.asarray(image), white)


def test_the_stream_is_stored_and_complete():
    encoded = plain_png.encode(np.ones((800, 801), bool))
    start = encoded.index(b"IDAT")
    stream = encoded[start + 4:start + 4 + int.from_bytes(encoded[start - 4:start], "big")]
    inflate = zlib.decompressobj()
    assert len(inflate.decompress(stream)) == 800 * (1 + 101) > plain_png.BLOCK  # zlib checks lengths and Adler-32
    assert inflate.eof and not inflate.unused_data
    assert len(stream) == 800 * (1 + 101) + 2 + 2 * 5 + 4
