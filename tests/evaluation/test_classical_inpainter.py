"""A classical method in the place of a trained model."""

import numpy as np
import pytest
from skimage import data

from mai_jax.errors import InputError
from mai_jax.evaluation import classical_inpainter, eval_target
from mai_jax.evaluation.classical import METHODS
from mai_jax.evaluation.classical_inpainter import ClassicalInpainter
from mai_jax.inference import provenance

NAMES = ("telea", "navier_stokes", "biharmonic")
HOLE = np.zeros((130, 160), bool)
HOLE[60:66, 70:90] = HOLE[64:80, 86:90] = True


@pytest.fixture(autouse=True)
def opencv(request):
    if "name" in request.fixturenames and request.getfixturevalue("name") != "biharmonic":
        pytest.importorskip("cv2")


def photograph():
    return data.astronaut()[60:190, 180:340].copy()


@pytest.mark.parametrize("name", NAMES)
def test_the_surroundings_of_the_hole_are_enough(name):
    image = photograph()
    filled = ClassicalInpainter(name)(image, HOLE)
    np.testing.assert_array_equal(filled, METHODS[name](image, HOLE))
    np.testing.assert_array_equal(image, photograph())


@pytest.mark.parametrize("name", NAMES)
def test_sixteen_bits_are_filled_with_sixteen_bits(name):
    image = photograph().astype(np.uint16) * np.uint16(257)
    filled = ClassicalInpainter(name)(image, HOLE)
    assert filled.dtype == np.uint16
    np.testing.assert_array_equal(filled[~HOLE], image[~HOLE])
    difference = filled[HOLE] / 257 - METHODS[name](photograph(), HOLE)[HOLE]
    assert np.abs(difference).mean() < 3 and len(np.unique(filled[HOLE] % 257)) > 20


def test_what_a_method_cannot_do_is_an_error(monkeypatch):
    method, image = ClassicalInpainter("biharmonic"), photograph()
    np.testing.assert_array_equal(method(image, np.zeros_like(HOLE)), image)
    with pytest.raises(InputError, match="biharmonic has no attention to show"):
        provenance.trace(method, image, HOLE)
    with pytest.raises(InputError, match="hole: is bool"):
        method(image, HOLE[1:])
    monkeypatch.setattr(classical_inpainter, "MAX_BIHARMONIC", 100)
    with pytest.raises(InputError, match=r"the hole has 176 pixels.*take telea"):
        method(image, HOLE)


def test_a_method_is_evaluated_like_a_model():
    target = eval_target.classical("biharmonic")
    pair = next(iter(target.dataset))
    (filled,) = target.predict(pair.truth[None], pair.hole[None])[0]
    np.testing.assert_allclose(filled * 255, METHODS["biharmonic"](pair.truth, pair.hole), atol=1e-3)
    assert target.name == "biharmonic" and target.stamp["image_size"] == 256
