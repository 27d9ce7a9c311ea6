"""Folders of predictions, truths and masks are matched by name; files that do not match are rejected by name."""

import numpy as np
import pytest
from PIL import Image

from mai_jax.errors import InputError
from mai_jax.evaluation.dataset import FolderEvalDataset

SIZE = (20, 24)


@pytest.fixture
def folders(tmp_path):
    rng = np.random.default_rng(0)
    for folder in ("pred", "truth", "masks"):
        (tmp_path / folder / "sub").mkdir(parents=True)
        for name in ("a", "sub/b"):
            pixels = rng.integers(0, 256, (*SIZE, 3), np.uint8)
            if folder == "masks":
                pixels = np.where(pixels[..., 0] > 128, np.uint8(255), np.uint8(0))
            Image.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
    return tmp_path


def pairs(folders, mask_means="hole"):
    return list(FolderEvalDataset(*(str(folders / name) for name in ("pred", "truth", "masks")), mask_means))


def test_pairs_have_the_pixels_of_the_files_in_the_order_of_their_names(folders):
    for mask_means, white in (("hole", True), ("valid", False), ("known", False)):
        found = pairs(folders, mask_means)
        assert [pair.id for pair in found] == ["a", "sub/b"]
        for pair in found:
            np.testing.assert_array_equal(pair.truth, np.asarray(Image.open(folders / "truth" / f"{pair.id}.png")))
            np.testing.assert_array_equal(pair.prediction, np.asarray(Image.open(folders / "pred" / f"{pair.id}.png")))
            mask = np.asarray(Image.open(folders / "masks" / f"{pair.id}.png"))
            np.testing.assert_array_equal(pair.hole, (mask == 255) == white)


def test_the_digest_depends_on_truth_and_hole_only(folders):
    pair = pairs(folders)[0]
    assert pair.digest == pair._replace(prediction=pair.truth, id="x").digest
    changed_truth, changed_hole = pair.truth.copy(), pair.hole.copy()
    changed_truth[0, 0, 0] ^= 1
    changed_hole[0, 0] ^= True
    assert len({pair.digest, pair._replace(truth=changed_truth).digest, pair._replace(hole=changed_hole).digest}) == 3


def save(folders, name, mode="RGB", size=SIZE):
    Image.new(mode, size[::-1]).save(folders / name)


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda f: (f / "pred/a.png").unlink(), r"--pred: has no file for .*truth/a\.png"),
    (lambda f: (f / "masks/sub/b.png").unlink(), r"--masks: has no file for .*truth/sub/b\.png"),
    (lambda f: save(f, "pred/c.png"), r"pred/c\.png: has no file in --truth"),
    (lambda f: save(f, "masks/c_mask.png"), r"masks/c_mask\.png: has no file in --truth"),
    (lambda f: save(f, "pred/a_mask.png"), r"pred/a_mask\.png: has no file in --truth"),
    (lambda f: save(f, "pred/a.bmp"), r"a\.(png|bmp): has the same name as .*a\.(png|bmp)"),
    (lambda f: save(f, "pred/a.png", size=(20, 25)), r"pred/a\.png: is 25 x 20 pixels and its truth 24 x 20"),
    (lambda f: save(f, "masks/a.png", "L", (21, 24)), r"masks/a\.png: the mask is 24 x 21"),
    (lambda f: save(f, "pred/a.png", "RGBA"), r"pred/a\.png: has an alpha channel"),
    (lambda f: save(f, "truth/a.png", "I;16"), r"truth/a\.png: has 16 bits per channel"),
    (lambda f: (f / "truth/a.png").write_text("no"), r"truth/a\.png: is not an image"),
])
def test_files_that_do_not_match_are_rejected(folders, spoil, message):
    spoil(folders)
    with pytest.raises(InputError, match=message):
        pairs(folders)


def mask_of(folders, name, column):
    """Write a mask with one column of hole."""
    mask = np.zeros(SIZE, np.uint8)
    mask[:, column] = 255
    Image.fromarray(mask).save(folders / name)


@pytest.mark.parametrize("where", ["masks", "truth"])
def test_several_masks_of_a_photograph_are_a_pair_each(folders, where):
    """As in LaMa's layout, the masks may be beside the truths; then predictions are named as the masks."""
    for path in ("masks/a.png", "masks/sub/b.png", "pred/a.png"):
        (folders / path).unlink()
    names = ("a_mask000", "a_mask001", "sub/mask_b")
    for column, name in enumerate(names):
        mask_of(folders, f"{where}/{name}.png", column)
    for name in names[:2]:
        save(folders, f"pred/{name}.png")
    dataset = FolderEvalDataset(str(folders / "pred"), str(folders / "truth"), str(folders / where))
    dataset.check_masks()
    found = list(dataset)
    assert [(pair.id, pair.hole_id) for pair in found] == [("a", names[0]), ("a", names[1]), ("sub/b", names[2])]
    assert [list(np.flatnonzero(pair.hole.any(0))) for pair in found] == [[0], [1], [2]]
    assert [pair.prediction.any() for pair in found] == [False, False, True]
    save(folders, "pred/a.png")
    with pytest.raises(InputError, match=r"pred/a\.png: is there beside predictions of its masks' names; remove it"):
        FolderEvalDataset(str(folders / "pred"), str(folders / "truth"), str(folders / where))
    (folders / "pred" / f"{names[1]}.png").unlink()
    message = r"--pred: has no file for .*a_mask001\.png, one of the 2 masks of .*a\.png: name each prediction as its"
    with pytest.raises(InputError, match=message):
        FolderEvalDataset(str(folders / "pred"), str(folders / "truth"), str(folders / where))


def test_doubts_about_the_masks_are_logged_as_in_training(folders, caplog):
    caplog.set_level("INFO")
    masks = folders / "masks"
    white = np.full(SIZE, 255, np.uint8)
    white[:, 0] = 0
    Image.fromarray(white).save(masks / "a.png")
    Image.fromarray(np.uint8(white > 0)).save(masks / "sub" / "b.png")
    dataset = FolderEvalDataset(*(str(folders / name) for name in ("pred", "truth", "masks")))
    dataset.check_masks()
    assert f"{masks}: white is the hole (in 1 of 2 masks); the brighter of its two values (1, not 0) is" in caplog.text
    assert "have more than 96 % hole; if white means valid in them, give --mask-means=valid" in caplog.text
    white[:1] = 0
    white[2:4] = 100
    Image.fromarray(white).save(masks / "a.png")
    Image.fromarray(white * 0).save(masks / "sub" / "b.png")
    dataset.check_masks()
    assert "1 of 2 masks have pixels that are neither black nor white (5.0 % of all)" in caplog.text
    assert "1 of 2 masks have no hole" in caplog.text


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P"])
def test_masks_without_any_hole_are_refused(folders, mode):
    for path in (folders / "masks").rglob("*.png"):
        Image.new(mode, SIZE[::-1]).save(path)
    dataset = FolderEvalDataset(*(str(folders / name) for name in ("pred", "truth", "masks")))
    with pytest.raises(InputError, match=r"^--masks=.*: no mask has a hole \(.*\), so any result would be perfect"):
        dataset.check_masks()


def test_a_threshold_decides_how_grey_masks_are_read(folders):
    ramp = np.linspace(0, 255, SIZE[0] * SIZE[1]).astype(np.uint8).reshape(SIZE)
    for path in (folders / "masks").rglob("*.png"):
        Image.fromarray(ramp).save(path)
    arguments = [str(folders / name) for name in ("pred", "truth", "masks")]
    with pytest.raises(InputError, match=r"a\.png: is no mask: .*; .* give --mask-threshold=N"):
        FolderEvalDataset(*arguments).check_masks()
    dataset = FolderEvalDataset(*arguments, "valid", 100)
    dataset.check_masks()
    np.testing.assert_array_equal(dataset[0].hole, ramp < 100)
