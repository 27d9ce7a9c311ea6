"""Another format holds all of the photo, or says that it cannot."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from mai_jax import photos
from mai_jax.types import InputError
from tests.photos.described_files import VALUES, described, file_with_everything
from tests.photos.photo_files import LOSSLESS, image, saved


def written(encoded, format, **options):
    photo = photos.decode(encoded, "tree")
    hole = np.zeros(photo.rgb.shape[:2], bool)
    hole[:2] = True
    return photo, photos.decode(photos.encode(photo, photo.rgb, hole, format=format, **options), "b")


@pytest.mark.parametrize("kind", ["PNG RGB 8", "PNG RGBA 8", "PNG LA 8", "PNG P 8 key", "TIFF 1 raw", "GIF P",
                                  "TIFF CMYK raw", "PNG L 4 key"])  # fmt: skip
@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP"])
def test_lossless_formats_show_the_same(kind, format):
    encoded = LOSSLESS[kind](np.random.default_rng(0), (20, 30))
    if format == kind.split()[0]:
        return
    if format == "BMP" and photos.decode(encoded, "a").alpha is not None:
        with pytest.raises(InputError, match=r"^tree: .*transparent.*BMP.*PNG"):
            written(encoded, format)
        return
    photo, again = written(encoded, format)
    assert again.format == format
    np.testing.assert_array_equal(again.rgb[2:], photo.rgb[2:])
    assert (photo.alpha is None) == (again.alpha is None)
    if photo.alpha is not None:
        np.testing.assert_array_equal(again.alpha, photo.alpha)


@pytest.mark.parametrize("kind", ["PNG RGB 16", "PNG LA 16", "TIFF RGBA 16", "PNG RGB 16 key"])
def test_16_bits_go_only_where_they_fit(kind):
    encoded = LOSSLESS[kind](np.random.default_rng(0), (20, 30))
    other = {"PNG": "TIFF", "TIFF": "PNG"}[kind.split()[0]]
    if kind != "PNG LA 16":  # which Pillow cannot read from a TIFF
        photo, again = written(encoded, other)
        np.testing.assert_array_equal(again.rgb, photo.rgb)
        np.testing.assert_array_equal(again.alpha, photo.alpha)
    with pytest.raises(InputError, match=r"^tree: .*(16 bits|transparent).*JPEG"):
        written(encoded, "JPEG")
    with pytest.raises(InputError, match=r"^tree: .*16 bits.*WEBP"):
        written(encoded, "WEBP")


def test_alpha_that_the_hole_made_opaque_does_not_hinder():
    values = VALUES.copy()
    clear = np.concatenate([values, np.full((8, 12, 1), 255, np.uint8)], -1)
    clear[:2, :, 3] = 0
    encoded = saved(image(clear, "RGBA"), "PNG")
    with pytest.raises(InputError, match="transparent"):
        written(encoded, "JPEG")
    assert written(encoded, "JPEG", opaque_hole=True)[1].alpha is None


@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("source", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_metadata_goes_along(source, format):
    if source == format:
        return
    encoded = file_with_everything(source)
    photo = photos.decode(encoded, "a")
    icc, tags, xmp, dpi, _ = described(photos.encode(photo, photo.rgb, np.zeros((12, 8), bool), format=format))
    before = described(encoded)
    assert icc == before[0] and tags == {**before[1], "orientation": 1} and xmp == before[2].replace(b'"6"', b'"1"')
    if source != "WEBP" and format not in ("WEBP", "AVIF"):
        assert dpi == before[3]


def test_a_profile_of_other_channels_is_left_behind():
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = b"CMYK"
    encoded = saved(image(VALUES, "RGB").convert("CMYK"), "TIFF", icc_profile=bytes(profile))
    photo = photos.decode(encoded, "a")
    for format, kept in ((None, bytes(profile)), ("PNG", None)):
        painted = photos.encode(photo, photo.rgb, np.zeros((8, 12), bool), format=format)
        with Image.open(io.BytesIO(painted)) as opened:
            assert opened.info.get("icc_profile") == kept


def test_formats_that_cannot_be_written():
    encoded = saved(image(VALUES, "RGB"), "PNG")
    with pytest.raises(InputError, match=r"^tree: .*GIF"):
        written(encoded, "GIF")
    with pytest.raises(InputError, match=r"^tree: .*HEIF.*choose one of JPEG"):
        written(encoded, "HEIF")
    wide = saved(Image.new("RGB", (17_000, 1)), "PNG")
    with pytest.raises(InputError, match=r"^tree: .*WEBP"):
        written(wide, "WEBP")
