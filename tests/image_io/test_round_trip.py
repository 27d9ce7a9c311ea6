"""Pixels outside the hole do not change, in every lossless format, mode, depth and size."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from mai_jax import image_io
from tests.image_io.photo_files import LOSSLESS, png, saved

SHAPES = [(1, 1), (1, 7), (9, 1), (5, 6), (33, 21), (140, 9)]


def random_holes(rng, shape):
    """Return an empty hole, a full one, one pixel, one at the borders, and a random one."""
    one, border = np.zeros(shape, bool), np.zeros(shape, bool)
    one[rng.integers(shape[0]), rng.integers(shape[1])] = True
    border[: rng.integers(1, shape[0] + 1), -rng.integers(1, shape[1] + 1) :] = True
    return [np.zeros(shape, bool), np.ones(shape, bool), one, border, rng.random(shape) < 0.4]


def stored_values(encoded, kind):
    """Return the stored values, read without the package: Pillow reads only 8 bits of 16-bit colour."""
    if kind.startswith(("PNG RGB", "TIFF RGB")) and "16" in kind:
        return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    with Image.open(io.BytesIO(encoded)) as image:
        return np.asarray(image)


def layout(encoded):
    with Image.open(io.BytesIO(encoded)) as image:
        palette = image.getpalette("RGB") if image.mode == "P" else None
        return image.format, image.mode, image.size, palette, encoded[24:26] if image.format == "PNG" else None


@pytest.mark.parametrize("kind", LOSSLESS)
def test_values_outside_the_hole_do_not_change(kind):
    rng = np.random.default_rng(0)
    for case in range(15):
        shape = SHAPES[case % len(SHAPES)]
        encoded = LOSSLESS[kind](rng, shape)
        photo = image_io.decode(encoded, "a")
        assert photo.rgb.shape == (*shape, 3) and photo.format == kind.split()[0]
        rgb = rng.integers(0, int(np.iinfo(photo.rgb.dtype).max) + 1, photo.rgb.shape).astype(photo.rgb.dtype)
        hole = random_holes(rng, shape)[case % 5]
        before = photo.rgb.copy()
        filled = image_io.encode(photo, rgb, hole)
        again = image_io.decode(filled, "b")
        np.testing.assert_array_equal(photo.rgb, before)
        assert layout(filled) == layout(encoded)
        np.testing.assert_array_equal(stored_values(filled, kind)[~hole], stored_values(encoded, kind)[~hole])
        np.testing.assert_array_equal(again.samples.values[~hole], photo.samples.values[~hole])
        assert (again.alpha is None) == (photo.alpha is None)
        if photo.alpha is not None:
            np.testing.assert_array_equal(again.alpha, photo.alpha)
        if kind.endswith(("RGB", "RGB 8", "RGB 16", "RGBA 8", "RGBA 16", "RGB raw", "RGBA raw")):
            np.testing.assert_array_equal(again.rgb[hole], rgb[hole])


@pytest.mark.parametrize("kind", ["PNG RGBA 8", "PNG LA 16", "PNG P 2 key", "PNG P 8 key", "PNG RGB 16 key",
                                  "PNG L 1 key", "TIFF RGBA raw", "WEBP RGBA", "GIF P transparent"])  # fmt: skip
def test_opaque_hole_changes_the_alpha_of_the_hole_only(kind):
    rng = np.random.default_rng(1)
    photo = image_io.decode(LOSSLESS[kind](rng, (20, 30)), "a")
    hole = random_holes(rng, (20, 30))[4]
    again = image_io.decode(image_io.encode(photo, photo.rgb, hole, opaque_hole=True), "b")
    opaque = np.iinfo(photo.alpha.dtype).max
    assert (photo.alpha[hole] < opaque).any()
    np.testing.assert_array_equal(again.alpha, np.where(hole, opaque, photo.alpha))


def test_all_16_bits_are_read():
    rng = np.random.default_rng(2)
    for kind in ("PNG RGB 16", "PNG RGBA 16", "TIFF RGB 16", "TIFF RGBA 16"):
        encoded = LOSSLESS[kind](rng, (9, 8))
        truth = stored_values(encoded, kind)
        photo = image_io.decode(encoded, "a")
        np.testing.assert_array_equal(photo.rgb, truth[..., 2::-1])
        if "RGBA" in kind:
            np.testing.assert_array_equal(photo.alpha, truth[..., 3])


@pytest.mark.parametrize("kind", ["PNG L 2", "PNG L 16", "TIFF 1 raw", "GIF P", "TIFF CMYK raw", "PNG P 8"])
def test_rgb_equals_the_conversion_of_pillow(kind):
    encoded = LOSSLESS[kind](np.random.default_rng(3), (12, 13))
    with Image.open(io.BytesIO(encoded)) as image:
        if image.mode == "I;16":
            expected = np.asarray(image)[..., None].repeat(3, -1)
        else:
            expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(image_io.decode(encoded, "a").rgb, expected)


@pytest.mark.parametrize("kind", ["PNG L 8", "PNG LA 16", "TIFF 1 raw", "PNG L 4"])
def test_the_hole_of_a_grey_image_gets_the_luma(kind):
    rng = np.random.default_rng(8)
    photo = image_io.decode(LOSSLESS[kind](rng, (20, 20)), "a")
    top = np.iinfo(photo.rgb.dtype).max
    rgb = rng.integers(0, int(top) + 1, photo.rgb.shape).astype(photo.rgb.dtype)
    luma = rgb @ np.array([0.299, 0.587, 0.114]) / top
    steps = (1 << photo.samples.depth) - 1
    again = image_io.decode(image_io.encode(photo, rgb, np.ones((20, 20), bool)), "b")
    assert np.abs(again.rgb[..., 0] / top - luma).max() <= 0.51 / steps + 0.51 / top


def test_a_palette_gets_its_nearest_opaque_colour():
    rng = np.random.default_rng(4)
    encoded = LOSSLESS["GIF P transparent"](rng, (40, 40))
    with Image.open(io.BytesIO(encoded)) as image:
        palette, indices = np.reshape(image.getpalette("RGB"), (-1, 3)).astype(int), np.asarray(image)
    photo = image_io.decode(encoded, "a")
    rgb = photo.rgb.copy()
    rgb[:20] = palette[7]  # the colour of the transparent row
    rgb[20:] = rng.integers(0, 256, (20, 40, 3))
    filled = image_io.encode(photo, rgb, np.ones((40, 40), bool))
    with Image.open(io.BytesIO(filled)) as image:
        chosen = np.asarray(image)
    np.testing.assert_array_equal(chosen == 7, indices == 7)
    distance = ((rgb[:, :, None].astype(int) - palette) ** 2).sum(-1)
    distance[..., 7] = 1 << 30
    opaque = indices != 7
    np.testing.assert_array_equal(
        np.take_along_axis(distance, chosen[..., None].astype(int), -1)[opaque, 0], distance.min(-1)[opaque])


def test_a_filled_pixel_never_has_the_transparent_colour():
    encoded = LOSSLESS["PNG RGB 8 key"](np.random.default_rng(5), (6, 6))
    photo = image_io.decode(encoded, "a")
    assert photo.alpha[0, 0] == 0 and (photo.alpha > 0).sum() > 30
    rgb = np.broadcast_to(photo.rgb[0, 0], photo.rgb.shape).copy()
    again = image_io.decode(image_io.encode(photo, rgb, np.ones((6, 6), bool)), "b")
    np.testing.assert_array_equal(again.alpha, photo.alpha)
    assert np.abs(again.rgb.astype(int) - rgb).max() == 1


def test_an_interlaced_png_keeps_its_values():
    values = np.random.default_rng(6).integers(0, 65536, (19, 23, 3), dtype=np.uint16)
    photo = image_io.decode(png(values, "RGB", 16, interlaced=True), "a")
    np.testing.assert_array_equal(photo.rgb, values)
    again = image_io.decode(image_io.encode(photo, photo.rgb, np.ones((19, 23), bool)), "b")
    np.testing.assert_array_equal(again.rgb, values)


def test_a_16_bit_white_is_zero_tiff_is_inverted():
    image = Image.fromarray(np.array([[0, 1000, 65535]], np.uint16))
    encoded = saved(image, "TIFF", tiffinfo={262: 0})
    photo = image_io.decode(encoded, "a")
    np.testing.assert_array_equal(photo.rgb[0, :, 0], [65535, 64535, 0])
    again = image_io.decode(image_io.encode(photo, photo.rgb, np.zeros((1, 3), bool)), "b")
    np.testing.assert_array_equal(again.rgb, photo.rgb)


def test_a_large_photo():
    rng = np.random.default_rng(7)
    encoded = LOSSLESS["TIFF RGB raw"](rng, (2000, 3000))
    photo = image_io.decode(encoded, "a")
    hole = np.zeros((2000, 3000), bool)
    hole[:300, -300:] = True
    again = image_io.decode(image_io.encode(photo, 255 - photo.rgb, hole), "b")
    np.testing.assert_array_equal(again.rgb, np.where(hole[..., None], 255 - photo.rgb, photo.rgb))
