"""Changed copies of a photograph are found, quickly among many; different photographs are not near-duplicates."""

import io
import itertools
import time

import numpy as np
import pytest
import skimage
from PIL import Image, ImageEnhance

from mai_jax.doctor.duplicates import EXACT, NEAR, duplicates_in, earlier_duplicates, perceptual_hash

DIFFERENT = ("astronaut", "coffee", "chelsea", "rocket", "retina", "hubble_deep_field", "immunohistochemistry",
             "camera", "coins", "page", "moon", "brick", "grass", "gravel", "text", "clock")  # in scikit-image's wheel


def recoded(image, quality):
    stream = io.BytesIO()
    image.save(stream, "jpeg", quality=quality)
    return Image.open(stream)


CHANGES = {
    "re-encoded": lambda image: recoded(image, 30),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "squeezed": lambda image: image.resize((200, 256)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.3),
    "grey": lambda image: image.convert("L"),
    "several": lambda image: recoded(ImageEnhance.Brightness(image.resize((256, 256))).enhance(0.8), 60),
}


@pytest.fixture(scope="module")
def photographs():
    return {name: Image.fromarray(getattr(skimage.data, name)()) for name in DIFFERENT}


def near(a, b, tolerance=NEAR):
    return duplicates_in(a[None], b[None], tolerance)[0] == 0


def test_different_photographs_are_not_near(photographs):
    for one, other in itertools.combinations(map(perceptual_hash, photographs.values()), 2):
        assert not near(one, other)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_photograph_is_near(photographs, change):
    for name in ("astronaut", "coffee", "chelsea", "rocket"):
        image = photographs[name]
        assert near(perceptual_hash(image), perceptual_hash(CHANGES[change](image))), name


def test_without_contrast_there_is_no_hash():
    assert perceptual_hash(Image.new("RGB", (50, 40), "teal")) is None


def hashes_with_copies(n, rng):
    """Return random hashes, some of them copies of earlier ones with up to 12 + 60 changed bits (first word + rest)."""
    hashes = rng.integers(0, 2**64, (n, 4), dtype=np.uint64)
    copies = rng.choice(np.arange(n // 2, n), n // 10, replace=False)
    for copy in copies:
        bits = np.unpackbits(hashes[rng.integers(n // 2)].view(np.uint8))
        bits[rng.choice(64, rng.integers(13), replace=False)] ^= 1
        bits[rng.choice(np.arange(64, 256), rng.integers(61), replace=False)] ^= 1
        hashes[copy] = np.packbits(bits).view(np.uint64)
    return hashes


def match_all_pairs(hashes, others, tolerance):
    """Return [n, m] bool: the pairs within the tolerance."""
    differ = np.bitwise_count(hashes[:, None] ^ others[None]).astype(int)
    return (differ[..., 0] <= tolerance.first) & (differ.sum(-1) <= tolerance.total)


@pytest.mark.parametrize("tolerance", [NEAR, EXACT])
def test_duplicates_equal_those_of_comparing_all_pairs(tolerance):
    hashes = hashes_with_copies(1200, np.random.default_rng(0))
    hashes[1100:1150] = hashes[3]  # many equal ones
    hashes[1199] = hashes[1198] = hashes[1197]
    match = match_all_pairs(hashes, hashes, tolerance)
    before = np.tril(match, -1)
    expected = np.where(before.any(1), before.argmax(1), -1)
    found = earlier_duplicates(hashes, tolerance)
    # Equal hashes are represented by the first of them.
    np.testing.assert_array_equal(found >= 0, expected >= 0)
    assert all(match[i, duplicate] for i, duplicate in enumerate(found) if duplicate >= 0)
    assert (found < np.arange(1200)).all()
    crossing = match[600:, :600]
    expected = np.where(crossing.any(1), crossing.argmax(1), -1)
    np.testing.assert_array_equal(duplicates_in(hashes[:600], hashes[600:], tolerance), expected)
    assert tolerance is EXACT or 20 < (expected >= 0).sum() < 400


def test_no_hash_and_one_hash():
    none, one = np.zeros((0, 4), np.uint64), np.ones((1, 4), np.uint64)
    assert earlier_duplicates(none, NEAR).tolist() == [] and earlier_duplicates(one, NEAR).tolist() == [-1]
    assert duplicates_in(none, one, NEAR).tolist() == [-1] and duplicates_in(one, none, NEAR).tolist() == []


def test_a_hundred_thousand_hashes_take_seconds():
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 2**64, (100_000, 4), dtype=np.uint64)
    hashes[50_000:60_000] = hashes[7]  # one picture ten thousand times
    hashes[99_999] = hashes[4] ^ np.uint64(0b100100100100100100)
    begin = time.process_time()
    found = earlier_duplicates(hashes, NEAR)
    assert time.process_time() - begin < 10
    np.testing.assert_array_equal(np.flatnonzero(found >= 0), [*range(50_000, 60_000), 99_999])
    assert (found[50_000:60_000] == 7).all() and found[99_999] == 4
