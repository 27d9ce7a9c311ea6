"""Decoding of image files: modes, formats, damage; and the one-step resize and crop."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from mai_jax.data import images
from mai_jax.errors import InputError

COLOUR = (200, 100, 50)


def encode(image, file_format="png", **options):
    stream = io.BytesIO()
    image.save(stream, format=file_format, **options)
    return stream.getvalue()


def photo(height, width, seed=0):
    """Return an image with smooth colours and edges, as in a photograph."""
    y, x = np.mgrid[:height, :width] / 20
    waves = np.stack([np.sin(x + y), np.cos(2 * x - y), np.sin(3 * y) * np.cos(x)], axis=-1)
    steps = np.random.default_rng(seed).random((height // 16 + 1, width // 16 + 1, 3)).repeat(16, 0).repeat(16, 1)
    return Image.fromarray(((0.3 + 0.2 * waves + 0.4 * steps[:height, :width] - 0.1).clip(0, 1) * 255).astype(np.uint8))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK"])
def test_colour_modes(mode):
    encoded = encode(Image.new("RGB", (20, 16), COLOUR).convert(mode), "tiff" if mode == "CMYK" else "png")
    image = images.decode(encoded, "x")
    assert image.mode == "RGB" and image.size == (20, 16) and image.getpixel((3, 3)) == COLOUR


def test_palette_and_alpha_keep_their_colours():
    pixels = np.full((16, 16, 4), (*COLOUR, 0), np.uint8)
    assert images.decode(encode(Image.fromarray(pixels)), "x").getpixel((0, 0)) == COLOUR
    palette = Image.new("P", (16, 16), 1)
    palette.putpalette([0, 0, 0, *COLOUR])
    assert images.decode(encode(palette, transparency=1), "x").getpixel((0, 0)) == COLOUR


@pytest.mark.parametrize("file_format", ["png", "tiff", "ppm"])
def test_sixteen_bit_grey_is_scaled(file_format):
    deep = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    image = images.decode(encode(Image.fromarray(deep), file_format), "x")
    np.testing.assert_array_equal(np.asarray(image)[..., 1].reshape(-1), np.arange(256))


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_pixels_without_a_defined_range_are_refused(kind):
    with pytest.raises(InputError, match=r"^a\.tif: .*save it with 8 or 16"):
        images.decode(encode(Image.fromarray(np.ones((16, 16), kind)), "tiff"), "a.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    upright = photo(32, 48)
    inverse = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90",
               7: "TRANSVERSE", 8: "ROTATE_270"}
    stored = upright.transpose(Image.Transpose[inverse[orientation]]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(images.decode(encode(stored, exif=exif), "x"), upright)
    np.testing.assert_array_equal(images.decode_as_stored(encode(stored, exif=exif), "x"), upright)


def damaged():
    jpeg, png = encode(photo(64, 64), "jpeg"), encode(photo(64, 64))
    header = b"IHDR" + (60000).to_bytes(4) * 2 + png[24:29]
    huge = png[:12] + header + zlib.crc32(header).to_bytes(4) + png[33:]
    return {"text": b"not an image", "empty": b"", "half a jpeg": jpeg[: len(jpeg) // 2], "header": png[:30],
            "half a png": png[: len(png) // 2], "decompression bomb": huge}


@pytest.mark.parametrize("name", damaged())
def test_damaged_file_is_refused_in_one_line_that_names_it(name):
    for draft in (None, 16):
        with pytest.raises(InputError, match=f"^{name}: .*; remove it or replace it$") as error:
            images.decode(damaged()[name], name, draft)
        assert "\n" not in str(error.value) and "0x" not in str(error.value)


def test_tiny_images_are_refused():
    images.decode(encode(Image.new("RGB", (16, 16))), "x")
    with pytest.raises(InputError, match=r"^x: is 100 x 15 pixels"):
        images.decode(encode(Image.new("RGB", (100, 15))), "x")


def test_draft_gives_at_least_the_requested_size():
    image = images.decode(encode(photo(400, 600), "jpeg"), "x", draft=90)
    assert image.size == (150, 100)
    assert images.decode(encode(photo(400, 600)), "x", draft=90).size == (600, 400)


@pytest.mark.parametrize("shape", [(97, 150), (333, 121), (64, 64), (40, 50), (512, 2048)])
@pytest.mark.parametrize("offset", [(0.0, 0.0), (0.5, 0.5), (1.0, 0.3), (0.7, 1.0)])
def test_one_step_equals_resize_then_crop(shape, offset):
    image, (h, w), shorter = photo(*shape), shape, 64
    width, height = (shorter if side == min(h, w) else round(side * shorter / min(h, w)) for side in (w, h))
    resized = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
    for size in (32, 64):
        top, left = round(offset[0] * (height - size)), round(offset[1] * (width - size))
        crop = images.resize_crop(image, size, shorter, offset)
        expected = resized[top:top + size, left:left + size]
        assert np.abs(crop.astype(int) - expected).max() <= 2


def test_crop_without_resize_copies_pixels():
    image = photo(64, 80)
    np.testing.assert_array_equal(images.resize_crop(image, 32, 64, (1.0, 1.0)), np.asarray(image)[-32:, -32:])


def test_draft_changes_little():
    encoded = encode(photo(800, 1200), "jpeg", quality=95)
    full, draft = (images.resize_crop(images.decode(encoded, "x", draft), 96, 96, (0.5, 0.5)) for draft in (None, 192))
    assert np.mean((full.astype(float) - draft) ** 2) < 255**2 / 10**4  # 40 dB


def test_crop_larger_than_the_resized_image_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        images.resize_crop(photo(32, 32), 64, 32, (0.5, 0.5))
