"""Classical methods: quality on simple holes, no access to the hole content, and unchanged valid pixels."""

import sys
from types import ModuleType

import numpy as np
import pytest
from skimage import data

from mai_jax import metrics
from mai_jax.errors import InputError
from mai_jax.evaluation.classical import METHODS, fill_many


@pytest.fixture(autouse=True)
def opencv(request):
    """Skip the two methods of OpenCV without OpenCV, which is an optional dependency."""
    if "name" in request.fixturenames and request.getfixturevalue("name") in ("telea", "navier_stokes"):
        pytest.importorskip("cv2")


def photograph():
    return data.astronaut()[60:124, 180:260].copy()


def strokes():
    """Return thin and thick strokes, one at the border of the image."""
    hole = np.zeros((64, 80), bool)
    hole[20:24, 10:70] = hole[30:42, 30:44] = hole[50:, :9] = True
    return hole


@pytest.mark.parametrize("name", METHODS)
def test_valid_pixels_are_unchanged_and_hole_pixels_are_not_read(name):
    image, hole = photograph(), strokes()
    filled = METHODS[name](image, hole)
    assert filled.dtype == np.uint8 and np.array_equal(filled[~hole], image[~hole])
    other = image.copy()
    other[hole] = np.random.default_rng(0).integers(0, 256, size=other[hole].shape)
    assert np.array_equal(METHODS[name](other, hole), filled)
    assert np.array_equal(image, photograph())


def test_valid_pixels_are_unchanged_even_if_the_library_changes_them(monkeypatch):
    faulty = ModuleType("cv2")
    faulty.inpaint, faulty.INPAINT_TELEA, faulty.INPAINT_NS = lambda image, *_: 255 - image, 1, 0
    monkeypatch.setitem(sys.modules, "cv2", faulty)
    image, hole = photograph(), strokes()
    for name in ("telea", "navier_stokes"):
        assert np.array_equal(METHODS[name](image, hole)[~hole], image[~hole])


@pytest.mark.parametrize("name", METHODS)
def test_a_flat_colour_is_restored(name):
    image = np.full((32, 40, 3), (10, 128, 250), np.uint8)
    hole = np.zeros((32, 40), bool)
    hole[8:20, :15] = True
    difference = METHODS[name](image, hole).astype(int) - image
    assert np.abs(difference).max() <= (3 if name == "telea" else 0)  # its 8-bit rounding errors accumulate


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("shape", [(32, 40), (1, 5)])
def test_without_a_hole_and_without_a_valid_pixel(name, shape):
    image = np.random.default_rng(0).integers(0, 256, size=(*shape, 3), dtype=np.uint8)
    assert np.array_equal(METHODS[name](image, np.zeros(shape, bool)), image)
    assert np.all(METHODS[name](image, np.ones(shape, bool)) == 128)


@pytest.mark.parametrize("name", METHODS)
def test_one_valid_pixel_is_enough(name):
    image, hole = photograph(), np.ones((64, 80), bool)
    hole[30, 40] = False
    filled = METHODS[name](image, hole)
    assert np.array_equal(filled[30, 40], image[30, 40])


def test_all_methods_are_better_than_the_mean_colour():
    pytest.importorskip("cv2")
    image, hole = photograph(), strokes()
    truth = np.float32(image[None]) / 255
    found = {name: float(metrics.hole_psnr(np.float32(fill(image, hole)[None]) / 255, truth, hole[None])[0])
             for name, fill in METHODS.items()}
    baseline = found.pop("mean_colour")
    assert all(psnr > baseline + 2 for psnr in found.values()), (baseline, found)


@pytest.mark.parametrize("name", METHODS)
def test_a_batch_equals_its_single_images(name):
    images = np.stack([photograph(), photograph()[::-1], 255 - photograph()])
    holes = np.stack([strokes(), strokes()[:, ::-1], np.ones_like(strokes())])
    expected = [METHODS[name](image, hole) for image, hole in zip(images, holes, strict=True)]
    assert np.array_equal(fill_many(METHODS[name], images, holes), expected)


def test_mean_colour():
    image = np.array([[[0, 10, 30], [0, 21, 10], [200, 200, 200]]], np.uint8)
    filled = METHODS["mean_colour"](image, np.array([[False, False, True]]))
    assert filled[0, 2].tolist() == [0, 16, 20]


def test_the_error_without_opencv_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    for name in ("telea", "navier_stokes"):
        with pytest.raises(InputError, match="pip install opencv-python-headless"):
            METHODS[name](photograph(), strokes())
