"""A JPEG is written with the coding parameters of its source: small changes and the same file size."""

import io

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from mai_jax import image_io
from tests.image_io.photo_files import image, saved


def photograph(height=160, width=200):
    """Return smooth shapes with noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (9 + 3 * c)) + np.cos(y / (13 - 2 * c)) + (x > y) for c in range(3)]
    return np.clip(90 + 40 * np.stack(waves, -1) + rng.normal(0, 4, (height, width, 3)), 0, 255).astype(np.uint8)


def coding_parameters(encoded):
    with Image.open(io.BytesIO(encoded)) as opened:
        return (opened.mode, opened.size, opened.quantization, JpegImagePlugin.get_sampling(opened),
                opened.info.get("progressive"), opened.info.get("adobe_transform"))  # fmt: skip


@pytest.mark.parametrize("options", [
    {"quality": 95, "subsampling": 0}, {"quality": 90, "subsampling": 1}, {"quality": 75, "subsampling": 2},
    {"quality": 30}, {"quality": 85, "progressive": True}, {"quality": 85, "optimize": True},
    {"quality": 90, "keep_rgb": True}, {"mode": "L", "quality": 80}, {"mode": "CMYK", "quality": 90},
])  # fmt: skip
def test_a_jpeg_keeps_its_coding_parameters(options):
    mode = options.pop("mode", "RGB")
    encoded = saved(image(photograph(), "RGB").convert(mode), "JPEG", **options)
    photo = image_io.decode(encoded, "a")
    assert photo.alpha is None
    again = image_io.encode(photo, photo.rgb, np.zeros(photo.rgb.shape[:2], bool))
    assert coding_parameters(again) == coding_parameters(encoded)
    assert abs(len(again) / len(encoded) - 1) < 0.02
    change = np.abs(image_io.decode(again, "b").rgb.astype(int) - photo.rgb)
    assert change.mean() < 0.1 and change.max() <= 8


def test_the_hole_of_a_cmyk_jpeg_is_filled():
    encoded = saved(image(photograph(), "RGB").convert("CMYK"), "JPEG", quality=95)
    photo = image_io.decode(encoded, "a")
    hole = np.zeros(photo.rgb.shape[:2], bool)
    hole[:80] = True
    rgb = np.full_like(photo.rgb, 200)
    again = image_io.decode(image_io.encode(photo, rgb, hole), "b").rgb.astype(int)
    assert np.abs(again[:70] - 200).max() < 12
    assert np.abs(again[90:] - photo.rgb[90:]).mean() < 1


def test_ycck_keeps_its_quality():
    encoded = bytearray(saved(image(photograph(), "RGB").convert("CMYK"), "JPEG", qtables=[[2] * 64, [60] * 64]))
    encoded[encoded.index(b"Adobe") + 11] = 2  # the transform: YCCK
    photo = image_io.decode(bytes(encoded), "a")
    again = image_io.decode(image_io.encode(photo, photo.rgb, np.zeros(photo.rgb.shape[:2], bool)), "b")
    assert np.abs(again.rgb.astype(int) - photo.rgb).mean() < 1


def test_chroma_of_a_rotated_jpeg_is_not_subsampled_further():
    """4:2:2 rotated by 90 degrees is 4:4:0; written as 4:2:2, only a quarter of the chroma samples would remain."""
    exif = Image.Exif()
    exif[0x0112] = 6
    encoded = saved(image(photograph(), "RGB"), "JPEG", subsampling=1, quality=95, exif=exif)
    photo = image_io.decode(encoded, "a")
    assert coding_parameters(image_io.encode(photo, photo.rgb, np.zeros((200, 160), bool)))[3] == 0


def test_the_second_picture_of_a_jpeg_is_removed():
    main, second = image(photograph(), "RGB"), image(photograph() // 2, "RGB")
    encoded = saved(main, "MPO", save_all=True, append_images=[second])
    photo = image_io.decode(encoded, "a")
    again = image_io.encode(photo, photo.rgb, np.zeros(photo.rgb.shape[:2], bool))
    assert photo.format == "JPEG" and len(again) < 0.7 * len(encoded)
    with Image.open(io.BytesIO(again)) as opened:
        assert opened.format == "JPEG"
