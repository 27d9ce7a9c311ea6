"""What the browser is shown of a photograph, and what it may send back."""

import base64
import io
import sys

import numpy as np
import pytest
from PIL import Image

from mai_jax.demo import pictures, server
from mai_jax.inference import Inpainter
from mai_jax.types import InputError


def url(picture, form="PNG"):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, form)
    return f"data:image/{form.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def strokes(height, width):
    picture = np.zeros((height, width, 4), np.uint8)
    picture[height // 4 : height // 2, width // 4 : width // 2, 3] = 255
    return picture


@pytest.mark.parametrize("size", [(4, 3), (1, 5000), (1280, 7), (1601, 2401), (3000, 2560)])
def test_what_is_painted_comes_to_the_same_part_of_the_photo(size):
    height, width = size
    shown = pictures.shown(np.zeros((*size, 3), np.uint16))
    assert shown.dtype == np.uint8 and max(shown.shape) <= pictures.SHOWN
    hole = pictures.painted(url(strokes(*shown.shape[:2])), height, width)
    assert hole.shape == size
    if min(size) > 1000:
        rows, columns = (np.flatnonzero(hole.any(axis)) for axis in (1, 0))
        np.testing.assert_allclose([rows[0], rows[-1]], [height / 4, height / 2], atol=2)
        np.testing.assert_allclose([columns[0], columns[-1]], [width / 4, width / 2], atol=2)
    assert not pictures.painted("", height, width).any()


def test_a_hole_is_shown_by_tint_and_outline():
    photo, hole = np.full((20, 30, 3), 65535, np.uint16), np.zeros((20, 30), bool)
    hole[5:10, 5:10] = True
    np.testing.assert_array_equal((pictures.tinted(photo, hole) != 255).any(-1), hole)
    line = (pictures.outlined(photo, hole) != 255).any(-1)
    assert line.sum() == 4 * 5 and not line[hole].any()


@pytest.mark.parametrize("sent", [
    "data:image/png;base64,!!", "data:image/png;base64,", "x", "é", url(strokes(8, 9)), url(strokes(9, 8)[..., :3]),
    url(strokes(9, 8)[..., :3], "JPEG"), url(strokes(9, 8))[:-60], "data:image/png;base64,AAAA",
], ids=["no base64", "nothing", "a letter", "not ASCII", "other size", "no alpha", "JPEG", "cut", "no image"])
def test_anything_else_that_is_sent_is_refused(sent):
    assert pictures.painted(url(strokes(9, 8)), 9, 8).any()
    with pytest.raises(InputError, match="what was painted"):
        pictures.painted(sent, 9, 8)


def test_without_gradio_one_line_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(InputError, match=r"pip install '\.\[demo\]'"):
        server._launch(Inpainter.__new__(Inpainter), "127.0.0.1", 0, tmp_path)
