"""HEIC files, with the extra `heif` and without it."""

import io
import sys

import numpy as np
import pytest
from PIL import Image, ImageCms
from skimage import data

from mai_jax import image_io
from mai_jax.errors import InputError
from tests.image_io.photo_files import saved

PHOTO = data.astronaut()[:90, 100:220]
HEIC = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(100)


@pytest.fixture
def heif():
    return pytest.importorskip("pillow_heif", reason="install the extra `heif`").register_heif_opener()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_a_heic_keeps_its_kind_and_its_metadata(heif, mode):
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() if mode != "L" else None
    image = Image.fromarray(PHOTO).convert(mode)
    photo = image_io.decode(saved(image, "HEIF", quality=95, chroma=444, exif=exif.tobytes(), icc_profile=icc), "a")
    assert (photo.format, photo.samples.mode, photo.rgb.shape) == ("HEIF", mode, PHOTO.shape)
    hole = np.zeros(PHOTO.shape[:2], bool)
    hole[30:50, 40:70] = True
    filled = image_io.encode(photo, 255 - photo.rgb, hole)
    with Image.open(io.BytesIO(filled)) as again:
        assert (again.format, again.mode, again.size) == ("HEIF", mode, (120, 90))
        assert again.getexif()[0x010F] == "a camera" and again.info.get("chroma", 444) == 444
        assert again.info.get("icc_profile") == icc
        difference = np.abs(image_io.decode(filled, "b").rgb.astype(int) - np.where(hole[..., None], 255 - photo.rgb,
                                                                                    photo.rgb))
    assert difference.mean() < 2 and difference[35:45, 45:65].mean() < 6


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_orientation_is_applied_once(heif, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = image_io.decode(saved(Image.fromarray(PHOTO), "HEIF", quality=95, exif=exif.tobytes()), "a.heic")
    upright = np.rot90(PHOTO, {1: 0, 3: 2, 6: 3, 8: 1}[orientation])
    assert photo.rgb.shape == upright.shape and np.abs(photo.rgb.astype(int) - upright).mean() < 5
    again = image_io.encode(photo, photo.rgb, np.ones(upright.shape[:2], bool))
    assert image_io.decode(again, "b").rgb.shape == upright.shape


def test_heic_is_converted_to_and_from_other_formats(heif):
    hole = np.ones(PHOTO.shape[:2], bool)
    for source, target in (("PNG", "HEIF"), ("HEIF", "PNG"), ("HEIF", "JPEG")):
        photo = image_io.decode(saved(Image.fromarray(PHOTO), source), "a")
        converted = image_io.decode(image_io.encode(photo, photo.rgb, hole, format=target), "b")
        assert converted.format == target and np.abs(converted.rgb.astype(int) - photo.rgb).mean() < 3


def test_a_heic_of_10_bits_is_rejected(heif):
    deep = saved(Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64) * 15), "HEIF")
    with pytest.raises(InputError, match="a: has 10 bits per channel"):
        image_io.decode(deep, "a")


@pytest.mark.parametrize("cut", [12, 40, 300, -100])
def test_a_damaged_heic_is_one_line(heif, cut):
    with pytest.raises(InputError, match=r"^a: "):
        image_io.decode(saved(Image.fromarray(PHOTO), "HEIF")[:cut], "a")


def test_without_the_extra_the_message_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    with pytest.raises(InputError, match=r"^a\.heic: is a HEIC file; install pillow-heif .*mai_jax\[heif\]"):
        image_io.decode(HEIC, "a.heic")
    photo = image_io.decode(saved(Image.fromarray(PHOTO), "PNG"), "a")
    with pytest.raises(InputError, match=r"^a: HEIC needs pillow-heif; pip install 'mai_jax\[heif\]'"):
        image_io.encode(photo, photo.rgb, np.ones(PHOTO.shape[:2], bool), format="HEIF")
