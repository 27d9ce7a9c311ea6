"""A JPEG is written as it was coded, so that it hardly changes and its file does not grow."""

import io

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from mai_jax import photos
from tests.photos.photo_files import image, saved


def photograph(height=160, width=200):
    """Smooth shapes and some grain."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (9 + 3 * c)) + np.cos(y / (13 - 2 * c)) + (x > y) for c in range(3)]
    return np.clip(90 + 40 * np.stack(waves, -1) + rng.normal(0, 4, (height, width, 3)), 0, 255).astype(np.uint8)


def coding(encoded):
    with Image.open(io.BytesIO(encoded)) as opened:
        return (opened.mode, opened.size, opened.quantization, JpegImagePlugin.get_sampling(opened),
                opened.info.get("progressive"), opened.info.get("adobe_transform"))  # fmt: skip


@pytest.mark.parametrize("options", [
    {"quality": 95, "subsampling": 0}, {"quality": 90, "subsampling": 1}, {"quality": 75, "subsampling": 2},
    {"quality": 30}, {"quality": 85, "progressive": True}, {"quality": 85, "optimize": True},
    {"quality": 90, "keep_rgb": True}, {"mode": "L", "quality": 80}, {"mode": "CMYK", "quality": 90},
])  # fmt: skip
def test_a_jpeg_stays_what_it_was(options):
    mode = options.pop("mode", "RGB")
    encoded = saved(image(photograph(), "RGB").convert(mode), "JPEG", **options)
    photo = photos.decode(encoded, "a")
    assert photo.alpha is None
    again = photos.encode(photo, photo.rgb, np.zeros(photo.rgb.shape[:2], bool))
    assert coding(again) == coding(encoded)
    assert abs(len(again) / len(encoded) - 1) < 0.02
    change = np.abs(photos.decode(again, "b").rgb.astype(int) - photo.rgb)
    assert change.mean() < 0.1 and change.max() <= 8


def test_the_hole_of_a_cmyk_jpeg_gets_its_colour():
    encoded = saved(image(photograph(), "RGB").convert("CMYK"), "JPEG", quality=95)
    photo = photos.decode(encoded, "a")
    hole = np.zeros(photo.rgb.shape[:2], bool)
    hole[:80] = True
    rgb = np.full_like(photo.rgb, 200)
    again = photos.decode(photos.encode(photo, rgb, hole), "b").rgb.astype(int)
    assert np.abs(again[:70] - 200).max() < 12
    assert np.abs(again[90:] - photo.rgb[90:]).mean() < 1


def test_cmyk_coded_as_luma_and_chroma_does_not_get_coarser():
    encoded = bytearray(saved(image(photograph(), "RGB").convert("CMYK"), "JPEG", qtables=[[2] * 64, [60] * 64]))
    encoded[encoded.index(b"Adobe") + 11] = 2  # the transform: YCCK
    photo = photos.decode(bytes(encoded), "a")
    again = photos.decode(photos.encode(photo, photo.rgb, np.zeros(photo.rgb.shape[:2], bool)), "b")
    assert np.abs(again.rgb.astype(int) - photo.rgb).mean() < 1


def test_turned_chroma_is_not_thinned_out():
    """4:2:2 turned by a quarter would be 4:4:0: with 4:2:2 again, only every fourth sample of chroma were left."""
    exif = Image.Exif()
    exif[0x0112] = 6
    encoded = saved(image(photograph(), "RGB"), "JPEG", subsampling=1, quality=95, exif=exif)
    photo = photos.decode(encoded, "a")
    assert coding(photos.encode(photo, photo.rgb, np.zeros((200, 160), bool)))[3] == 0


def test_a_preview_behind_the_picture_is_left_out():
    main, second = image(photograph(), "RGB"), image(photograph() // 2, "RGB")
    encoded = saved(main, "MPO", save_all=True, append_images=[second])
    photo = photos.decode(encoded, "a")
    again = photos.encode(photo, photo.rgb, np.zeros(photo.rgb.shape[:2], bool))
    assert photo.format == "JPEG" and len(again) < 0.7 * len(encoded)
    with Image.open(io.BytesIO(again)) as opened:
        assert opened.format == "JPEG"
