"""Conversion to another format keeps everything of the photograph or raises an error."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from mai_jax import image_io
from mai_jax.errors import InputError
from tests.image_io.described_files import VALUES, file_with_all_metadata, read_metadata
from tests.image_io.photo_files import LOSSLESS, image, saved


def converted(encoded, format, **options):
    """Return the decoded file, and its conversion decoded again."""
    photo = image_io.decode(encoded, "tree")
    hole = np.zeros(photo.rgb.shape[:2], bool)
    hole[:2] = True
    return photo, image_io.decode(image_io.encode(photo, photo.rgb, hole, format=format, **options), "b")


@pytest.mark.parametrize("kind", ["PNG RGB 8", "PNG RGBA 8", "PNG LA 8", "PNG P 8 key", "TIFF 1 raw", "GIF P",
                                  "TIFF CMYK raw", "PNG L 4 key"])  # fmt: skip
@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP"])
def test_lossless_formats_have_the_same_pixels(kind, format):
    encoded = LOSSLESS[kind](np.random.default_rng(0), (20, 30))
    if format == kind.split()[0]:
        return
    if format == "BMP" and image_io.decode(encoded, "a").alpha is not None:
        with pytest.raises(InputError, match=r"^tree: .*transparent.*BMP.*PNG"):
            converted(encoded, format)
        return
    photo, again = converted(encoded, format)
    assert again.format == format
    np.testing.assert_array_equal(again.rgb[2:], photo.rgb[2:])
    assert (photo.alpha is None) == (again.alpha is None)
    if photo.alpha is not None:
        np.testing.assert_array_equal(again.alpha, photo.alpha)


@pytest.mark.parametrize("kind", ["PNG RGB 16", "PNG LA 16", "TIFF RGBA 16", "PNG RGB 16 key"])
def test_16_bits_are_only_written_to_formats_that_store_them(kind):
    encoded = LOSSLESS[kind](np.random.default_rng(0), (20, 30))
    other = {"PNG": "TIFF", "TIFF": "PNG"}[kind.split()[0]]
    if kind != "PNG LA 16":  # Pillow cannot read it from a TIFF
        photo, again = converted(encoded, other)
        np.testing.assert_array_equal(again.rgb, photo.rgb)
        np.testing.assert_array_equal(again.alpha, photo.alpha)
    with pytest.raises(InputError, match=r"^tree: .*(16 bits|transparent).*JPEG"):
        converted(encoded, "JPEG")
    with pytest.raises(InputError, match=r"^tree: .*16 bits.*WEBP"):
        converted(encoded, "WEBP")


def test_a_photo_whose_transparent_part_is_filled_needs_no_alpha():
    values = VALUES.copy()
    clear = np.concatenate([values, np.full((8, 12, 1), 255, np.uint8)], -1)
    clear[:2, :, 3] = 0
    encoded = saved(image(clear, "RGBA"), "PNG")
    with pytest.raises(InputError, match="transparent"):
        converted(encoded, "JPEG")
    assert converted(encoded, "JPEG", opaque_hole=True)[1].alpha is None


@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("source", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_metadata_is_converted(source, format):
    if source == format:
        return
    encoded = file_with_all_metadata(source)
    photo = image_io.decode(encoded, "a")
    icc, tags, xmp, dpi, _ = read_metadata(image_io.encode(photo, photo.rgb, np.zeros((12, 8), bool), format=format))
    before = read_metadata(encoded)
    assert icc == before[0] and tags == {**before[1], "orientation": 1} and xmp == before[2].replace(b'"6"', b'"1"')
    if source != "WEBP" and format not in ("WEBP", "AVIF"):
        assert dpi == before[3]


def test_a_profile_of_another_colour_space_is_dropped():
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = b"CMYK"
    encoded = saved(image(VALUES, "RGB").convert("CMYK"), "TIFF", icc_profile=bytes(profile))
    photo = image_io.decode(encoded, "a")
    for format, kept in ((None, bytes(profile)), ("PNG", None)):
        filled = image_io.encode(photo, photo.rgb, np.zeros((8, 12), bool), format=format)
        with Image.open(io.BytesIO(filled)) as opened:
            assert opened.info.get("icc_profile") == kept


def test_formats_that_cannot_be_written():
    encoded = saved(image(VALUES, "RGB"), "PNG")
    with pytest.raises(InputError, match=r"^tree: .*GIF"):
        converted(encoded, "GIF")
    with pytest.raises(InputError, match=r"^tree: .*PPM.*choose one of JPEG"):
        converted(encoded, "PPM")
    wide = saved(Image.new("RGB", (17_000, 1)), "PNG")
    with pytest.raises(InputError, match=r"^tree: .*WEBP"):
        converted(wide, "WEBP")
