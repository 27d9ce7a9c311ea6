"""Pictures for the browser, and the strokes and layers that it returns."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from mai_jax.demo import editing, pictures, server
from mai_jax.errors import InputError
from tests.demo.browsing import encoded, noise


def strokes(height, width):
    picture = np.zeros((height, width, 4), np.uint8)
    picture[height // 4 : height // 2, width // 4 : width // 2, 3] = 255
    return picture


@pytest.mark.parametrize("size", [(4, 3), (1, 9000), (1280, 7), (601, 901), (1000, 860)])
def test_strokes_cover_the_same_part_of_the_photograph(size, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_AREA", 512 * 512)
    kind, content = pictures.preview(np.zeros((*size, 3), np.uint16), None)
    displayed = Image.open(io.BytesIO(content)).size[::-1]
    assert kind == "image/jpeg" and max(displayed) <= pictures.MAX_SIDE and np.prod(displayed) <= pictures.MAX_AREA
    hole = pictures.hole_from_strokes(encoded(strokes(*displayed)), *size)
    assert hole.shape == size
    if min(size) > 500:
        rows, columns = (np.flatnonzero(hole.any(axis)) for axis in (1, 0))
        np.testing.assert_allclose([rows[0], rows[-1]], [size[0] / 4, size[0] / 2], atol=2)
        np.testing.assert_allclose([columns[0], columns[-1]], [size[1] / 4, size[1] / 2], atol=2)


def test_transparency_is_displayed():
    alpha = np.full((20, 30), 65535, np.uint16)
    alpha[3:9, 4:8] = 0
    kind, content = pictures.preview(noise(20, 30), alpha)
    assert kind == "image/webp"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content)))[..., 3] == 0, alpha == 0)


def test_a_hole_is_a_picture_of_the_colour_of_the_brush():
    hole = noise(20, 30)[..., 0] > 128
    shown = np.asarray(Image.open(io.BytesIO(pictures.hole_picture(hole))).convert("RGBA"))
    np.testing.assert_array_equal(shown[..., 3], 255 * hole)
    assert (shown[hole] == (*pictures.TINT, 255)).all()


@pytest.mark.parametrize("sent", [
    b"", b"x", encoded(strokes(8, 9)), encoded(strokes(9, 8)[..., :3]), encoded(strokes(9, 8)[..., :3], "JPEG"),
    encoded(strokes(9, 8))[:-60],
], ids=["nothing", "a letter", "other size", "no alpha", "JPEG", "cut"])
def test_invalid_strokes_are_rejected(sent):
    assert pictures.hole_from_strokes(encoded(strokes(9, 8)), 9, 8).any()
    with pytest.raises(InputError, match="the strokes"):
        pictures.hole_from_strokes(sent, 9, 8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_layer_has_the_filled_pixels_and_no_others(dtype):
    pixels, filled = noise(20, 30).astype(dtype), np.zeros((20, 30), bool)
    filled[5:9, 7:20] = filled[12, 3] = True
    edit = editing.open_photo(encoded(noise(20, 30)), "photo.png")._replace(pixels=pixels, filled=filled)
    layer = editing.encode_layer(edit)
    assert (layer.left, layer.top) == (3, 5)
    before = edit._replace(pixels=np.zeros_like(pixels), filled=np.zeros_like(filled))
    after = editing.apply_layer(before, layer)
    np.testing.assert_array_equal(after.filled, filled)
    np.testing.assert_array_equal(after.pixels, pixels * filled[..., None])
    other = np.uint8 if dtype == np.uint16 else np.uint16
    for wrong in (layer._replace(left=14), layer._replace(top=-1), layer._replace(encoded=encoded(noise(8, 17)))):
        with pytest.raises(InputError, match="belong to another photo"):
            editing.apply_layer(before, wrong)
    with pytest.raises(InputError, match="belong to another photo"):
        editing.apply_layer(before._replace(pixels=before.pixels.astype(other)), layer)


@pytest.mark.parametrize("missing", ["uvicorn", "python_multipart"])
def test_without_the_extra_the_error_names_it(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(InputError, match=r"pip install '\.\[demo\]'"), server.running_server({}, "127.0.0.1", 0):
        pass


def test_a_taken_port_is_an_input_error(address):
    port = int(address.rstrip("/").rsplit(":", 1)[1])
    with pytest.raises(InputError, match="is taken"), server.running_server({}, "127.0.0.1", port):
        pass
