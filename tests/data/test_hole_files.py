"""Mask files: polarity, thresholds, sizes, the bank and its augmentation."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from PIL import Image

from mai_jax.config import Holes
from mai_jax.data import hole_files
from mai_jax.types import InputError


def square(share, size=32):
    """A mask whose first rows are white: `share` of it."""
    mask = np.zeros((size, size), np.uint8)
    mask[: round(share * size)] = 255
    return mask


def test_white_is_the_upper_half_and_means_what_it_is_said_to_mean():
    mask = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(hole_files.known_from_mask(mask, "known"), mask >= 128)
    np.testing.assert_array_equal(hole_files.known_from_mask(mask, "hole"), mask < 128)
    with pytest.raises(InputError, match=r"white.*hole or known"):
        hole_files.known_from_mask(mask, "white")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_a_mask_of_any_mode_reads_the_same(tmp_path, caplog, mode):
    mask = square(0.25)
    deep = Image.fromarray(mask.astype(np.uint16) * 257)
    (deep if mode == "I;16" else Image.fromarray(mask).convert(mode)).save(tmp_path / "m.png")
    np.testing.assert_array_equal(hole_files.read_mask(tmp_path / "m.png"), mask)
    assert not caplog.records


def test_strokes_on_a_transparent_layer_are_white_whatever_hides_beneath(tmp_path):
    pixels = np.full((32, 32, 4), 255, np.uint8)
    pixels[..., 3] = square(0.5)
    Image.fromarray(pixels).save(tmp_path / "m.png")
    np.testing.assert_array_equal(hole_files.read_mask(tmp_path / "m.png"), square(0.5))


def test_grey_pixels_are_counted_and_jpeg_noise_is_not(tmp_path, caplog):
    mask = square(0.5)
    Image.fromarray(mask | np.eye(32, dtype=np.uint8) * 255).save(tmp_path / "m.jpg", quality=85)
    saved = hole_files.read_mask(tmp_path / "m.jpg")
    assert len(np.unique(saved)) > 5 and not caplog.records
    mask[:4] = 100
    Image.fromarray(mask).save(tmp_path / "m.png")
    hole_files.read_mask(tmp_path / "m.png")
    assert re.search(r"m\.png: 12\.5 % of the pixels", caplog.text)


def test_known_of_an_image_needs_a_mask_of_its_size(tmp_path):
    Image.fromarray(square(0.25)[:, :20]).save(tmp_path / "m.png")
    known = hole_files.read_known(tmp_path / "m.png", (32, 20), "hole")
    np.testing.assert_array_equal(known, square(0.25)[:, :20] == 0)
    with pytest.raises(InputError, match=r"m\.png: the mask is 20 x 32 and its image 32 x 20 \(width x height\)"):
        hole_files.read_known(tmp_path / "m.png", (20, 32), "hole")


def test_a_bad_mask_file_is_named(tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    with pytest.raises(InputError, match=r"bad\.png"):
        hole_files.read_mask(tmp_path / "bad.png")
    with pytest.raises(InputError, match=r"gone\.png: cannot be read \(No such file"):
        hole_files.read_mask(tmp_path / "gone.png")
    with pytest.raises(InputError, match=r"bad\.png"):
        hole_files.load(str(tmp_path), 32, Holes())


@pytest.fixture
def folder(tmp_path):
    """Masks of 10 % to 90 % white, out of order, of twice the size with noise between, one in a subfolder."""
    (tmp_path / "sub").mkdir()
    rng = np.random.default_rng(0)
    for percent in (90, 10, 50, 25):
        name = f"sub/{percent}.PNG" if percent == 50 else f"{percent}.png"
        mask = rng.choice(np.uint8([0, 255]), (64, 64))
        mask[1::2, 1::2] = square(percent / 100)
        Image.fromarray(mask).save(tmp_path / name, format="png")
    return str(tmp_path)


def test_bank_holds_the_masks_in_range_bit_for_bit(folder, caplog):
    bank = hole_files.load(folder, 32, Holes(min_ratio=0.1, max_ratio=0.6))
    expected = np.stack([square(share) for share in (0.25, 0.5)]) == 0
    np.testing.assert_array_equal(np.unpackbits(bank.bits, axis=-1), expected)
    np.testing.assert_array_equal(bank.ratios, [0.25, 0.5])
    assert "2 of 4 masks are left out" in caplog.text and "mask_means" not in caplog.text
    inverse = hole_files.load(folder, 32, Holes(min_ratio=0.1, max_ratio=0.6, mask_means="known"))
    np.testing.assert_array_equal(np.unpackbits(inverse.bits, axis=-1), expected[1:] ^ True)


def test_opposite_polarity_is_suspected(tmp_path, caplog):
    for rows in (4, 8, 12):  # of 32: hole ratios 0.125, 0.25, 0.375, or the opposite
        Image.fromarray(square(rows / 32)).save(tmp_path / f"{rows}.png")
    assert len(hole_files.load(str(tmp_path), 32, Holes(max_ratio=0.8)).ratios) == 3 and not caplog.records
    with pytest.raises(InputError, match=r"none of its 3 masks .* median is 0\.75"):
        hole_files.load(str(tmp_path), 32, Holes(mask_means="known"))
    assert "--config.holes.mask_means=hole" in caplog.text


def test_grey_masks_of_a_folder_are_one_warning(folder, caplog):
    for name in "ab":
        Image.fromarray(np.full((32, 32), 100, np.uint8)).save(f"{folder}/{name}.png")
    hole_files.load(folder, 32, Holes())
    grey = [record.getMessage() for record in caplog.records if "neither black nor white" in record.getMessage()]
    assert len(grey) == 1 and "2 of 6 masks" in grey[0]


def test_folder_without_masks_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no image; looked for \.jpg"):
        hole_files.load(str(tmp_path), 32, Holes())


def test_draws_every_mask_in_all_eight_symmetries():
    rng = np.random.default_rng(0)
    known = rng.random((3, 16, 16)) < 0.5
    bits = jnp.asarray(np.packbits(known, axis=-1))
    expected = {np.rot90(side, turn).tobytes(): (i, flip, turn) for i, k in enumerate(known)
                for flip, side in enumerate((k, k.T)) for turn in range(4)}
    assert len(expected) == 24
    drawn = jax.jit(jax.vmap(hole_files.draw_from, (None, 0)))(bits, random.split(random.key(0), 2400))
    assert drawn.shape == (2400, 16, 16, 1) and drawn.dtype == jnp.float32
    seen = [expected[(one == 1).tobytes()] for one in np.asarray(drawn)[..., 0]]
    counts = [seen.count(which) for which in expected.values()]
    assert min(counts) > 60 and max(counts) < 145
