"""Pictures for the browser, and the brush strokes that it returns."""

import base64
import io
import sys

import numpy as np
import pytest
from PIL import Image

from mai_jax.demo import pictures, server
from mai_jax.errors import InputError
from mai_jax.inference import Inpainter


def url(picture, form="PNG"):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, form)
    return f"data:image/{form.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def strokes(height, width):
    picture = np.zeros((height, width, 4), np.uint8)
    picture[height // 4 : height // 2, width // 4 : width // 2, 3] = 255
    return picture


@pytest.mark.parametrize("size", [(4, 3), (1, 5000), (1280, 7), (1601, 2401), (3000, 2560)])
def test_strokes_cover_the_same_part_of_the_photograph(size):
    height, width = size
    displayed = pictures.display(np.zeros((*size, 3), np.uint16))
    assert displayed.dtype == np.uint8 and max(displayed.shape) <= pictures.MAX_SIDE
    hole = pictures.hole_from_strokes(url(strokes(*displayed.shape[:2])), height, width)
    assert hole.shape == size
    if min(size) > 1000:
        rows, columns = (np.flatnonzero(hole.any(axis)) for axis in (1, 0))
        np.testing.assert_allclose([rows[0], rows[-1]], [height / 4, height / 2], atol=2)
        np.testing.assert_allclose([columns[0], columns[-1]], [width / 4, width / 2], atol=2)
    assert not pictures.hole_from_strokes("", height, width).any()


def test_a_hole_is_tinted_and_outlined():
    photo, hole = np.full((20, 30, 3), 65535, np.uint16), np.zeros((20, 30), bool)
    hole[5:10, 5:10] = True
    np.testing.assert_array_equal((pictures.tint_hole(photo, hole) != 255).any(-1), hole)
    line = (pictures.outline_hole(photo, hole) != 255).any(-1)
    assert line.sum() == 4 * 5 and not line[hole].any()


@pytest.mark.parametrize("sent", [
    "data:image/png;base64,!!", "data:image/png;base64,", "x", "é", url(strokes(8, 9)), url(strokes(9, 8)[..., :3]),
    url(strokes(9, 8)[..., :3], "JPEG"), url(strokes(9, 8))[:-60], "data:image/png;base64,AAAA",
], ids=["no base64", "nothing", "a letter", "not ASCII", "other size", "no alpha", "JPEG", "cut", "no image"])
def test_invalid_strokes_are_rejected(sent):
    assert pictures.hole_from_strokes(url(strokes(9, 8)), 9, 8).any()
    with pytest.raises(InputError, match="the brush strokes"):
        pictures.hole_from_strokes(sent, 9, 8)


def test_without_gradio_the_error_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(InputError, match=r"pip install '\.\[demo\]'"):
        server._launch(Inpainter.__new__(Inpainter), "127.0.0.1", 0, tmp_path)
