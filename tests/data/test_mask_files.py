"""Folders of mask files: polarity, skipped masks, the mask bank and its augmentation."""

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
    grey = square(0.25)
    grey[-2:] = 100
    for name in "ab":
        Image.fromarray(grey).save(f"{folder}/{name}.png")
    mask_files.load(folder, 32, Holes())
    grey = [record.getMessage() for record in caplog.records if "neither black nor white" in record.getMessage()]
    assert len(grey) == 1 and "2 of 6 masks" in grey[0]


def test_how_the_masks_were_read_is_said_once_and_empty_ones_are_counted(folder, caplog):
    caplog.set_level("INFO")
    Image.fromarray(square(0.5) // 255).save(f"{folder}/labels.png")
    Image.fromarray(square(0)).save(f"{folder}/empty.png")
    mask_bank = mask_files.load(folder, 32, Holes(min_ratio=0.1, max_ratio=0.95))
    assert len(mask_bank.ratios) == 4
    assert [record.getMessage().removeprefix(folder) for record in caplog.records] == [
        ": white is the hole (in 4 of 6 masks); white is the hole, but no pixel is white (the brightest is 0 "
        "of 255) (in 1 of 6 masks); the brighter of its two values (1, not 0) is the hole (in 1 of 6 masks)",
        ": 1 of 6 masks have no hole", ": 2 of 6 masks are skipped: their hole ratio is not in [0.1, 0.95]"]


def test_a_folder_with_a_photograph_is_refused_by_its_name(folder):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)).save(f"{folder}/photo.png")
    with pytest.raises(InputError, match=r"photo\.png: is no mask: .* as in a photograph; save the mask in .*$"):
        mask_files.load(folder, 32, Holes())


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
