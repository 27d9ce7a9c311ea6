"""Mask files: polarity, threshold, sizes, the mask bank and its augmentation."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from PIL import Image

from mai_jax.config import Holes
from mai_jax.data import mask_files
from mai_jax.errors import InputError


def square(share, size=32):
    """Return a mask with a share `share` of white rows at the top."""
    mask = np.zeros((size, size), np.uint8)
    mask[: round(share * size)] = 255
    return mask


def test_white_is_the_upper_half_and_means_hole_or_valid():
    mask = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(mask_files.valid_from_mask(mask, "hole"), mask < 128)
    for mask_means in ("valid", "known"):
        np.testing.assert_array_equal(mask_files.valid_from_mask(mask, mask_means), mask >= 128)
    with pytest.raises(InputError, match=r"white.*hole or valid"):
        mask_files.valid_from_mask(mask, "white")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_a_mask_of_any_mode_reads_the_same(tmp_path, caplog, mode):
    mask = square(0.25)
    deep = Image.fromarray(mask.astype(np.uint16) * 257)
    (deep if mode == "I;16" else Image.fromarray(mask).convert(mode)).save(tmp_path / "m.png")
    np.testing.assert_array_equal(mask_files.read_mask(tmp_path / "m.png"), mask)
    assert not caplog.records


def test_transparent_pixels_are_black_whatever_their_colour(tmp_path):
    pixels = np.full((32, 32, 4), 255, np.uint8)
    pixels[..., 3] = square(0.5)
    Image.fromarray(pixels).save(tmp_path / "m.png")
    np.testing.assert_array_equal(mask_files.read_mask(tmp_path / "m.png"), square(0.5))


def test_grey_pixels_are_counted_and_jpeg_noise_is_not(tmp_path, caplog):
    mask = square(0.5)
    Image.fromarray(mask | np.eye(32, dtype=np.uint8) * 255).save(tmp_path / "m.jpg", quality=85)
    saved = mask_files.read_mask(tmp_path / "m.jpg")
    assert len(np.unique(saved)) > 5 and not caplog.records
    mask[:4] = 100
    Image.fromarray(mask).save(tmp_path / "m.png")
    mask_files.read_mask(tmp_path / "m.png")
    assert re.search(r"m\.png: 12\.5 % of the pixels", caplog.text)


def test_mask_must_have_the_size_of_its_image(tmp_path):
    Image.fromarray(square(0.25)[:, :20]).save(tmp_path / "m.png")
    valid = mask_files.read_valid(tmp_path / "m.png", (32, 20), "hole")
    np.testing.assert_array_equal(valid, square(0.25)[:, :20] == 0)
    with pytest.raises(InputError, match=r"m\.png: the mask is 20 x 32 and its image 32 x 20 \(width x height\)"):
        mask_files.read_valid(tmp_path / "m.png", (20, 32), "hole")


def test_an_unusable_mask_file_is_named(tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    with pytest.raises(InputError, match=r"bad\.png"):
        mask_files.read_mask(tmp_path / "bad.png")
    with pytest.raises(InputError, match=r"gone\.png: cannot be read \(No such file"):
        mask_files.read_mask(tmp_path / "gone.png")
    with pytest.raises(InputError, match=r"bad\.png"):
        mask_files.load(str(tmp_path), 32, Holes())


@pytest.fixture
def folder(tmp_path):
    """Write masks of 10 % to 90 % white at twice the size, with noise that nearest-neighbour resizing skips."""
    (tmp_path / "sub").mkdir()
    rng = np.random.default_rng(0)
    for percent in (90, 10, 50, 25):
        name = f"sub/{percent}.PNG" if percent == 50 else f"{percent}.png"
        mask = rng.choice(np.uint8([0, 255]), (64, 64))
        mask[1::2, 1::2] = square(percent / 100)
        Image.fromarray(mask).save(tmp_path / name, format="png")
    return str(tmp_path)


def test_bank_contains_the_masks_in_range_bit_for_bit(folder, caplog):
    mask_bank = mask_files.load(folder, 32, Holes(min_ratio=0.1, max_ratio=0.6))
    expected = np.stack([square(share) for share in (0.25, 0.5)]) == 0
    np.testing.assert_array_equal(np.unpackbits(mask_bank.bits, axis=-1), expected)
    np.testing.assert_array_equal(mask_bank.ratios, [0.25, 0.5])
    assert "2 of 4 masks are skipped" in caplog.text and "mask_means" not in caplog.text
    inverse = mask_files.load(folder, 32, Holes(min_ratio=0.1, max_ratio=0.6, mask_means="valid"))
    np.testing.assert_array_equal(np.unpackbits(inverse.bits, axis=-1), expected[1:] ^ True)


@pytest.mark.parametrize("mask_means", ["valid", "known"])
def test_opposite_polarity_is_suspected(tmp_path, caplog, mask_means):
    for rows in (4, 8, 12):  # of 32: hole ratios 0.125, 0.25, 0.375, or the opposite
        Image.fromarray(square(rows / 32)).save(tmp_path / f"{rows}.png")
    assert len(mask_files.load(str(tmp_path), 32, Holes(max_ratio=0.8)).ratios) == 3 and not caplog.records
    with pytest.raises(InputError, match=r"none of its 3 masks .* median is 0\.75"):
        mask_files.load(str(tmp_path), 32, Holes(mask_means=mask_means))
    assert "--config.holes.mask_means=hole" in caplog.text


def test_opposite_polarity_of_the_default_is_valid(tmp_path, caplog):
    Image.fromarray(square(0.75)).save(tmp_path / "m.png")
    with pytest.raises(InputError, match=r"none of its 1 masks"):
        mask_files.load(str(tmp_path), 32, Holes())
    assert "if white means valid in them, give --config.holes.mask_means=valid" in caplog.text


def test_grey_masks_of_a_folder_are_one_warning(folder, caplog):
    for name in "ab":
        Image.fromarray(np.full((32, 32), 100, np.uint8)).save(f"{folder}/{name}.png")
    mask_files.load(folder, 32, Holes())
    grey = [record.getMessage() for record in caplog.records if "neither black nor white" in record.getMessage()]
    assert len(grey) == 1 and "2 of 6 masks" in grey[0]


def test_folder_without_masks_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no image; looked for \.jpg"):
        mask_files.load(str(tmp_path), 32, Holes())


def test_samples_every_mask_in_all_eight_symmetries():
    rng = np.random.default_rng(0)
    valid = rng.random((3, 16, 16)) < 0.5
    bits = jnp.asarray(np.packbits(valid, axis=-1))
    expected = {np.rot90(side, turn).tobytes(): (i, flip, turn) for i, k in enumerate(valid)
                for flip, side in enumerate((k, k.T)) for turn in range(4)}
    assert len(expected) == 24
    sampled = jax.jit(jax.vmap(mask_files.sample_valid, (None, 0)))(bits, random.split(random.key(0), 2400))
    assert sampled.shape == (2400, 16, 16, 1) and sampled.dtype == jnp.float32
    found = [expected[(one == 1).tobytes()] for one in np.asarray(sampled)[..., 0]]
    counts = [found.count(which) for which in expected.values()]
    assert min(counts) > 60 and max(counts) < 145
