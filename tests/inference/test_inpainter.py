"""The Inpainter: photographs of any size, the same pixels as in the evaluation, unchanged pixels outside the hole."""

import io
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from mai_jax.errors import InputError
from mai_jax.inference import Inpainter
from mai_jax.inference.tiling import Window
from mai_jax.visualize import to_uint8
from tests.untrained import untrained_run

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def inpainter(tmp_path_factory):
    return Inpainter.from_checkpoint(untrained_run(tmp_path_factory.mktemp("run")), devices=jax.devices()[:1])


def photo(h, w, dtype=np.uint8):
    return RNG.integers(0, np.iinfo(dtype).max, (h, w, 3), dtype, endpoint=True)


def test_a_photograph_of_the_networks_size_gets_the_evaluated_prediction(inpainter):
    image, hole = photo(32, 32), RNG.random((32, 32)) < 0.3
    prediction = to_uint8(np.asarray(inpainter.predict(image[None], hole[None])))[0]
    np.testing.assert_array_equal(inpainter(image, hole), np.where(hole[..., None], prediction, image))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1), (20, 30), (90, 130)])
def test_only_the_hole_changes(inpainter, shape, dtype):
    image, hole = photo(*shape, dtype), np.zeros(shape, bool)
    hole[shape[0] // 3 : shape[0] // 2, shape[1] // 4 : shape[1] // 2] = True
    before = image.copy()
    filled = inpainter(image, hole)
    np.testing.assert_array_equal(image, before)
    assert filled.dtype == dtype
    np.testing.assert_array_equal(filled[~hole], image[~hole])
    assert not hole.any() or (filled[hole] != image[hole]).any()


def test_16_bit_prediction_equals_the_8_bit_prediction_up_to_rounding(inpainter):
    image, hole = photo(70, 60), np.zeros((70, 60), bool)
    hole[20:30, 20:33] = True
    fine = inpainter(image.astype(np.uint16) * 257, hole)
    np.testing.assert_allclose(fine[hole] / 257, inpainter(image, hole)[hole], atol=0.51)


def test_pixels_outside_the_window_do_not_change_the_result(inpainter):
    image, hole = photo(300, 300), np.zeros((300, 300), bool)
    hole[140:150, 140:150] = True
    (window,) = inpainter.plan(hole).windows
    far = np.ones((300, 300), bool)
    far[window.inside(300, 300)] = False
    other = np.where(far[..., None], 255 - image, image)
    np.testing.assert_array_equal(inpainter(image, hole)[hole], inpainter(other, hole)[hole])


def test_at_most_four_batch_sizes_are_compiled(inpainter):
    for h, w, n in ((40, 50, 1), (120, 90, 30), (300, 200, 200), (77, 401, 60)):
        hole = np.zeros((h, w), bool)
        hole[RNG.integers(h, size=n), RNG.integers(w, size=n)] = True
        inpainter(photo(h, w), hole)
    predictor = inpainter._predictor
    assert predictor.replicated._cache_size() + predictor.sharded._cache_size() <= 4  # batches of 1, 2, 4, 8 windows


def test_attention_inputs_has_both_stages(inpainter):
    features = inpainter.attention_inputs(photo(50, 60), RNG.random((50, 60)) < 0.1, Window(3, 4, 1, 32))
    assert {name: value.x.shape[1:3] for name, value in features.items()} == {
        "attention_1": (4, 4), "attention_2": (8, 8)}


@pytest.mark.parametrize(("image", "hole", "message"), [
    (np.zeros((4, 5, 3), np.uint8), np.ones((5, 4), bool), r"hole: is bool \(5, 4\); give bool \(4, 5\)"),
    (np.zeros((4, 5, 3), np.uint8), np.ones((4, 5), np.uint8), "hole: is uint8"),
    (np.zeros((4, 5, 3)), np.ones((4, 5), bool), "image: is float64"),
    (np.zeros((4, 5), np.uint8), np.ones((4, 5), bool), "image: is uint8"),
    (np.zeros((4, 5, 4), np.uint8), np.ones((4, 5), bool), "image: is uint8"),
    (np.zeros((0, 5, 3), np.uint8), np.ones((0, 5), bool), "image: is .* which has no pixels"),
    (np.zeros((4, 0, 3), np.uint8), np.ones((4, 0), bool), "image: is .* which has no pixels"),
    (None, np.ones((4, 5), bool), "image: is object"),
    ([[1, 2], [3]], np.ones((4, 5), bool), "image: is list, not an array"),
    (np.zeros((4, 5, 3), np.uint8), None, "hole: is object"),
    ("gone.jpg", np.ones((4, 5), bool), r"gone\.jpg: cannot be read \(No such file"),
    (Path("gone.jpg"), np.ones((4, 5), bool), r"gone\.jpg: cannot be read \(No such file"),
    (np.zeros((4, 5, 3), np.uint8), "gone.png", r"gone\.png: cannot be read \(No such file"),
    (Image.new("F", (5, 4)), np.ones((4, 5), bool), "image: has pixels of the kind F"),
    (Image.new("RGB", (0, 4)), np.ones((4, 0), bool), "image: is .* which has no pixels"),
    (np.zeros((4, 5, 3), np.uint8), Image.new("L", (4, 5)), r"hole: is bool \(5, 4\); give bool \(4, 5\)"),
    (np.zeros((4, 5, 3), np.uint8), Image.new("L", (5, 4), 90), "hole: .* neither black nor white"),
])
def test_inputs_of_another_kind_are_rejected(inpainter, image, hole, message):
    with pytest.raises(InputError, match=message):
        inpainter(image, hole)


def test_a_damaged_image_of_pillow_is_rejected(inpainter):
    file = io.BytesIO()
    Image.fromarray(photo(40, 40)).save(file, "PNG")
    damaged = Image.open(io.BytesIO(file.getvalue()[:900]))
    with pytest.raises(InputError, match="image: cannot be read"):
        inpainter(damaged, np.ones((40, 40), bool))


def test_jax_arrays_images_of_pillow_and_files_give_the_same_result(inpainter, tmp_path):
    image, hole = photo(20, 30), np.zeros((20, 30), bool)
    hole[5:9, 6:14] = True
    paths = tmp_path / "photo.png", tmp_path / "mask.png"
    for array, path in zip((image, hole), paths, strict=True):
        Image.fromarray(array).save(path)
    expected = inpainter(image, hole)
    for other in (jnp.asarray(image), Image.fromarray(image), Image.fromarray(image).convert("RGBA"), paths[0],
                  str(paths[0])):
        np.testing.assert_array_equal(inpainter(other, hole), expected)
    for other in (jnp.asarray(hole), hole.tolist(), Image.fromarray(hole), Image.fromarray(hole).convert("L"), paths[1],
                  str(paths[1])):
        np.testing.assert_array_equal(inpainter(image, other), expected)


@pytest.mark.parametrize("mode", ["L", "1", "P", "I;16", "CMYK", "LA"])
def test_images_of_pillow_of_every_mode_are_filled(inpainter, mode):
    grey = RNG.integers(0, 256, (20, 30), np.uint8)
    image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    expected = np.repeat(grey[..., None].astype(np.uint16) * 257, 3, 2) if mode == "I;16" else image.convert("RGB")
    hole = np.eye(20, 30, dtype=bool)
    np.testing.assert_array_equal(inpainter(image, hole)[~hole], np.asarray(expected)[~hole])


def test_groups_are_powers_of_two():
    from mai_jax.inference.inpainter import _groups

    for n in (0, 1, 7, 8, 21):
        groups = list(_groups([Window(i, 0, 1, 8) for i in range(n)]))
        assert [w.top for group in groups for w in group] == list(range(n))
        assert {len(group) for group in groups} <= {1, 2, 4, 8}
