"""Photographs filled from file to file: outside the hole the same values in the same format."""

import io
import logging

import jax
import numpy as np
import pytest
from PIL import Image, ImageOps

from mai_jax.errors import InputError
from mai_jax.inference import Inpainter
from mai_jax.inference.options import Options
from mai_jax.inference.photo_jobs import Job
from mai_jax.inference.photo_repair import fill
from tests.untrained import untrained_run

MODES = ("RGB", "RGBA", "L", "LA", "P", "1", "I;16")
FORMATS = {"RGB": ("png", "tiff", "bmp"), "P": ("png", "gif", "bmp")}
TRIALS, LARGE = 500, ((3000, 2000), (1, 3000), (2000, 1), (1500, 900))


@pytest.fixture(scope="module")
def inpainter(tmp_path_factory):
    return Inpainter.from_checkpoint(untrained_run(tmp_path_factory.mktemp("run")), devices=jax.devices()[:1])


def photo(rng, mode, h, w):
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65535, (h, w), np.uint16))
    if mode == "1":
        return Image.fromarray(rng.random((h, w)) < 0.5)
    channels = {"RGB": 3, "RGBA": 4, "LA": 2}.get(mode, 1)
    values = rng.integers(0, 255, (h, w, channels), np.uint8)
    image = Image.fromarray(values.squeeze(2) if channels == 1 else values, {"P": "L"}.get(mode, mode))
    if mode == "P":
        image = Image.fromarray(np.asarray(image)).convert("L")
        image.putpalette(rng.integers(0, 255, 768, np.uint8).tobytes())
    return image


def random_hole(rng, h, w):
    """Return an empty or a full hole, one pixel, or a few rectangles, most of which touch a border."""
    hole = np.zeros((h, w), bool)
    kind = rng.integers(6)
    if kind < 2:
        return ~hole if kind else hole
    if kind == 2:
        hole[rng.integers(h), rng.integers(w)] = True
        return hole
    for _ in range(rng.integers(1, 4)):
        top, left = rng.integers(-h // 3, h), rng.integers(-w // 3, w)
        hole[max(top, 0) : top + 1 + h // 3, max(left, 0) : left + 1 + w // 4] = True
    return hole


def raw(path):
    with Image.open(path) as image:
        return image.mode, image.size, np.asarray(image)


def test_nothing_outside_the_hole_changes(inpainter, tmp_path):
    rng = np.random.default_rng(2020)
    for trial in range(TRIALS):
        mode = MODES[trial % len(MODES)]
        h, w = LARGE[trial] if trial < len(LARGE) else np.exp(rng.uniform(0, np.log(300), 2)).astype(int)
        suffix = rng.choice(FORMATS.get(mode, ("png", "tiff") if mode != "1" else ("png",)))
        hole = random_hole(rng, h, w)
        source, mask, target = (tmp_path / f"{name}.{end}" for name, end in
                                (("photo", suffix), ("mask", "png"), ("filled", suffix)))
        photo(rng, mode, h, w).save(source)
        Image.fromarray(hole).save(mask)
        done = fill(inpainter, Job(source, (mask,), target), Options(allow_empty=True))
        assert done.status == ("filled" if hole.any() else "unchanged")
        (mode_before, size_before, before), (mode_after, size_after, after) = raw(source), raw(target)
        case = (trial, mode, suffix, h, w)
        assert (mode_before, size_before) == (mode_after, size_after), case
        np.testing.assert_array_equal(before[~hole], after[~hole], err_msg=str(case))


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def test_transparency_is_the_hole_and_is_filled(inpainter, tmp_path):
    rgba = np.random.default_rng(0).integers(0, 255, (40, 50, 4), np.uint8)
    rgba[..., 3] = 255
    rgba[10:20, 10:30, 3] = 0
    out = tmp_path / "out.png"
    fill(inpainter, Job(save(tmp_path / "in.png", rgba), (), out))
    after = np.asarray(Image.open(out))
    assert (after[..., 3] == 255).all()
    outside = rgba[..., 3] == 255
    np.testing.assert_array_equal(after[outside], rgba[outside])
    assert (after[~outside][:, :3] != rgba[~outside][:, :3]).any()


def test_a_mask_matches_the_upright_photograph(inpainter, tmp_path):
    stored = np.random.default_rng(0).integers(0, 255, (30, 50, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored rotated by 90 degrees
    save(tmp_path / "in.png", stored, exif=exif)
    hole = np.zeros((50, 30), bool)
    hole[5:9, 3:6] = True
    fill(inpainter, Job(tmp_path / "in.png", (save(tmp_path / "mask.png", hole),), tmp_path / "out.png"))
    with Image.open(tmp_path / "out.png") as after:
        assert after.getexif().get(0x0112, 1) == 1
        np.testing.assert_array_equal(np.asarray(after)[~hole], np.rot90(stored, -1)[~hole])


def test_the_hole_is_blended_unless_the_prediction_is_wanted_as_it_is(inpainter, tmp_path):
    pixels, hole = np.full((40, 50, 3), 200, np.uint8), np.zeros((40, 50), bool)
    hole[10:30, 10:30] = True
    image, mask = save(tmp_path / "in.png", pixels), save(tmp_path / "m.png", hole)
    results = {}
    for blend in ("gradient", "none"):
        fill(inpainter, Job(image, (mask,), tmp_path / f"{blend}.png"), Options(blend=blend))
        results[blend] = np.asarray(Image.open(tmp_path / f"{blend}.png")).astype(int)
        np.testing.assert_array_equal(results[blend][~hole], pixels[~hole])
    np.testing.assert_array_equal(results["none"], inpainter(pixels, hole))
    border = hole & ~np.roll(hole, 1, 0)
    assert np.abs(results["gradient"] - 200)[border].mean() < np.abs(results["none"] - 200)[border].mean() / 3


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
def test_a_mask_on_the_stored_pixels_is_turned_with_the_photograph(inpainter, tmp_path, orientation):
    """Programs that ignore the EXIF tag draw on the stored pixels; with another size the flag is named."""
    stored, exif = np.random.default_rng(0).integers(0, 255, (30, 50, 3), np.uint8), Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path / "in.png", stored, exif=exif)
    hole = np.zeros((30, 50), bool)
    hole[5:9, 3:6] = True
    job = Job(tmp_path / "in.png", (save(tmp_path / "mask.png", hole),), tmp_path / "out.png")
    if orientation >= 5:
        with pytest.raises(InputError, match=r"mask\.png: the mask is 50 x 30, as the pixels of .*in\.png are stored, "
                           r"but an EXIF tag turns them to 30 x 50 .*; give --mask-orientation=stored$"):
            fill(inpainter, job)
    assert fill(inpainter, job, Options(mask_orientation="stored")).status == "filled"
    with Image.open(tmp_path / "in.png") as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
        turned = np.asarray(ImageOps.exif_transpose(_tagged(hole, exif))) > 0
    with Image.open(tmp_path / "out.png") as after:
        np.testing.assert_array_equal((np.asarray(after) != upright).any(-1) & ~turned, False)
        assert (np.asarray(after) != upright)[turned].any()


def _tagged(hole, exif):
    file = io.BytesIO()
    Image.fromarray(hole).convert("L").save(file, "PNG", exif=exif)
    return Image.open(file)


def test_a_file_with_the_ending_of_another_format_stays_what_it_is_and_is_named(inpainter, tmp_path, caplog):
    pixels = np.random.default_rng(0).integers(0, 255, (20, 20, 3), np.uint8)
    mask = save(tmp_path / "m.png", np.eye(20, dtype=bool))
    for ending in ("jpg", "mpo", "heic", "tif"):
        image = save(tmp_path / f"in.{ending}", pixels, format="PNG")
        fill(inpainter, Job(image, (mask,), tmp_path / "new" / image.name))
        with Image.open(tmp_path / "new" / image.name) as after:
            assert after.format == "PNG"
            np.testing.assert_array_equal(np.asarray(after)[~np.eye(20, dtype=bool)], pixels[~np.eye(20, dtype=bool)])
        assert f"in.{ending}: is a PNG file by its content, and so is a result of that name" in caplog.text
    caplog.clear()
    fill(inpainter, Job(save(tmp_path / "in.png", pixels), (mask,), tmp_path / "new" / "a.png"))
    fill(inpainter, Job(save(tmp_path / "in2.mpo", pixels, format="JPEG"), (mask,), tmp_path / "new" / "b.mpo"))
    assert caplog.text == ""


@pytest.mark.parametrize("inverse", ["valid", "known"])
def test_mask_means_selects_the_polarity(inpainter, tmp_path, inverse):
    pixels, hole = np.full((40, 40, 3), 90, np.uint8), np.zeros((40, 40), bool)
    hole[3:8, 3:8] = True
    image, a, b = save(tmp_path / "in.png", pixels), tmp_path / "a.png", tmp_path / "b.png"
    fill(inpainter, Job(image, (save(tmp_path / "m.png", hole),), a))
    fill(inpainter, Job(image, (save(tmp_path / "k.png", ~hole),), b), Options(mask_means=inverse))
    assert a.read_bytes() == b.read_bytes()


def test_a_mask_with_most_of_the_photograph_is_warned_about(inpainter, tmp_path, caplog):
    image = save(tmp_path / "in.png", np.full((40, 40, 3), 90, np.uint8))
    with caplog.at_level(logging.WARNING, "mai_jax"):
        fill(inpainter, Job(image, (save(tmp_path / "m.png", np.ones((40, 40), bool)),), tmp_path / "out.png"))
    assert "100 % of the photograph is hole; if white means valid in it, give --mask-means=valid" in caplog.text


@pytest.mark.parametrize("empty", [
    np.zeros((40, 40), bool), np.zeros((40, 40, 4), np.uint8),
    np.eye(40, dtype=np.uint8) * 9 + np.eye(40, k=1, dtype=np.uint8),
])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_mask_that_marks_nothing_is_an_error_or_a_copy_that_is_not_called_filled(inpainter, tmp_path, empty, suffix):
    image = save(tmp_path / f"in.{suffix}", np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8))
    job = Job(image, (save(tmp_path / "e.png", empty),), tmp_path / "new" / f"out.{suffix}")
    with pytest.raises(InputError, match=r"e\.png: no pixel is to be filled \(.* is the hole, but no .*--allow-empty"):
        fill(inpainter, job, Options(grow_by=3))
    assert not job.output.parent.exists()
    done = fill(inpainter, job, Options(allow_empty=True))
    assert done.status == "unchanged" and done.share == 0
    assert job.output.read_bytes() == image.read_bytes()
    fill(inpainter, Job(image, job.masks, tmp_path / "other.png"), Options(allow_empty=True))
    with Image.open(tmp_path / "other.png") as after:
        assert after.format == "PNG"


@pytest.mark.parametrize(("channels", "message"), [
    (4, r"in\.png: no pixel is to be filled \(the transparent part is the hole\)"),
    (3, "has no transparency to define its hole; give --mask=FILE"),
])
def test_an_opaque_photograph_needs_a_mask(inpainter, tmp_path, channels, message):
    image = save(tmp_path / "in.png", np.full((40, 40, channels), 255, np.uint8))
    with pytest.raises(InputError, match=message):
        fill(inpainter, Job(image, (), tmp_path / "out.png"))


def test_masks_as_people_make_them_fill_the_same_hole(inpainter, tmp_path):
    """0 and 1; a colour on black; a black brush on transparency; a hole erased from an opaque picture."""
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    image, hole = save(tmp_path / "in.png", pixels), np.zeros((40, 40), bool)
    hole[3:8, 3:8] = True
    masks = [hole, hole.astype(np.uint8), hole[..., None] * np.uint8([128, 0, 0]),
             np.dstack([pixels * 0, hole * np.uint8(255)]), np.dstack([pixels, ~hole * np.uint8(255)])]
    results = []
    for i, mask in enumerate(masks):
        done = fill(inpainter, Job(image, (save(tmp_path / f"m{i}.png", mask),), tmp_path / f"o{i}.png"))
        assert done.status == "filled" and done.share == 25 / 1600
        results.append((tmp_path / f"o{i}.png").read_bytes())
    assert len(set(results)) == 1
    soft = save(tmp_path / "soft.png", np.where(hole, 90, np.arange(1600).reshape(40, 40) % 50).astype(np.uint8))
    with pytest.raises(InputError, match=r"soft\.png: .* give --mask-threshold=N"):
        fill(inpainter, Job(image, (soft,), tmp_path / "s.png"))
    fill(inpainter, Job(image, (soft,), tmp_path / "s.png"), Options(mask_threshold=60))
    assert (tmp_path / "s.png").read_bytes() == results[0]


def test_the_output_suffix_selects_the_format(inpainter, tmp_path):
    image = save(tmp_path / "in.png", np.full((40, 40, 3), 90, np.uint8))
    mask = save(tmp_path / "m.png", np.eye(40, dtype=bool))
    fill(inpainter, Job(image, (mask,), tmp_path / "out.jpg"))
    with Image.open(tmp_path / "out.jpg") as after:
        assert after.format == "JPEG"
    with pytest.raises(InputError, match="unknown format; end the name in one of"):
        fill(inpainter, Job(image, (mask,), tmp_path / "out.xyz"))


def test_the_attention_picture_is_written(inpainter, tmp_path):
    image = save(tmp_path / "in.png", np.random.default_rng(0).integers(0, 255, (80, 90, 3), np.uint8))
    hole = np.zeros((80, 90), bool)
    hole[20:40, 30:50] = True
    fill(inpainter, Job(image, (save(tmp_path / "m.png", hole),), tmp_path / "out.png"), Options(attention=True))
    with Image.open(tmp_path / "out_attention.png") as picture:
        assert min(picture.size) > 150


@pytest.mark.parametrize(("photo_bytes", "mask_size", "message"), [
    (b"this is text", (40, 40), "in.png: .*not"),
    (b"", (40, 40), "in.png: "),
    ("half", (40, 40), "in.png: "),
    (None, (30, 40), r"m.png: the mask is 40 x 30 and its photograph 40 x 40 \(width x height\)"),
])
def test_an_unusable_file_is_one_line_and_nothing_is_written(inpainter, tmp_path, photo_bytes, mask_size, message):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)).save(file, "PNG")
    good = file.getvalue()
    (tmp_path / "in.png").write_bytes({None: good, "half": good[: len(good) // 2]}.get(photo_bytes, photo_bytes))
    mask = save(tmp_path / "m.png", np.ones(mask_size, bool))
    with pytest.raises(InputError, match=message) as error:
        fill(inpainter, Job(tmp_path / "in.png", (mask,), tmp_path / "new" / "out.png"))
    assert "\n" not in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.png", "m.png"]


def test_the_longest_name_of_a_file_is_written_and_a_longer_one_is_an_error(inpainter, tmp_path):
    image = save(tmp_path / ("x" * 251 + ".png"), np.zeros((20, 20, 3), np.uint8))
    mask = save(tmp_path / "m.png", np.eye(20, dtype=bool))
    fill(inpainter, Job(image, (mask,), tmp_path / "new" / image.name))
    assert [path.name for path in (tmp_path / "new").iterdir()] == [image.name]
    with pytest.raises(InputError, match=r"attention\.png: cannot be written .*; give a shorter name$"):
        fill(inpainter, Job(image, (mask,), tmp_path / "other" / image.name), Options(attention=True))
    assert list((tmp_path / "other").iterdir()) == []  # without its picture the result would be skipped the next time


def test_several_masks_are_united(inpainter, tmp_path):
    image = save(tmp_path / "in.png", np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8))
    holes = np.zeros((2, 40, 40), bool)
    holes[0, 3:8, 3:8] = holes[1, 6:12, 6:12] = True
    masks = (save(tmp_path / "1.png", holes[0]), save(tmp_path / "2.png", holes[1].astype(np.uint8)))
    done = fill(inpainter, Job(image, masks, tmp_path / "a.png"))
    fill(inpainter, Job(image, (save(tmp_path / "3.png", holes.any(0)),), tmp_path / "b.png"))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert done.reading.startswith("the union of 2 masks; in them white is the hole; the brighter of its two values")
    with pytest.raises(InputError, match=r"4\.png: the mask is 30 x 40"):
        fill(inpainter, Job(image, (*masks, save(tmp_path / "4.png", holes[0][:, :30])), tmp_path / "c.png"))


def test_an_output_that_cannot_be_written_is_named(inpainter, tmp_path):
    image = save(tmp_path / "in.png", np.zeros((20, 20, 3), np.uint8))
    mask = save(tmp_path / "m.png", np.eye(20, dtype=bool))
    with pytest.raises(InputError, match="cannot be written"):
        fill(inpainter, Job(image, (mask,), image / "out.png"))
