"""Files of several frames: what is shown outside the holes stays, with all formats and all forms of masks."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mai_jax import image_io
from mai_jax.errors import InputError
from mai_jax.image_io import patches, tiff_pages
from mai_jax.inference import Inpainter
from mai_jax.inference.options import Options
from mai_jax.inference.photo_jobs import Job
from mai_jax.inference.photo_repair import fill
from tests.image_io.frame_files import DELAYS, FILL, KINDS, SHAPE, apng, shown
from tests.image_io.photo_files import saved

OPTIONS = Options(frames=True, blend="none", allow_empty=True)
ENDINGS = {"GIF": "gif", "PNG": "png", "WEBP": "webp", "TIFF": "tif"}


class Grey(Inpainter):
    """Fills with one grey, and keeps the holes that it was given."""

    def __init__(self):
        self.holes = []

    def __call__(self, image, hole):
        self.holes.append(hole)
        filled = image.copy()
        filled[hole] = FILL if image.dtype == np.uint8 else FILL * 257
        return filled


def holes(rng):
    """Yield one hole for all frames, of several forms, and holes of each frame."""
    one, border = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    one[rng.integers(SHAPE[0]), rng.integers(SHAPE[1])] = True
    border[:9, -13:] = True
    for hole in (one, border, rng.random(SHAPE) < 0.4, ~np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)):
        yield np.broadcast_to(hole, (len(DELAYS), *SHAPE))
    moving = np.zeros((len(DELAYS), *SHAPE), bool)
    for i in range(len(DELAYS)):
        moving[i, 5:14, 4 * i + 3 : 4 * i + 12] = True
    yield moving
    yield moving & (np.arange(len(DELAYS)) % 2 == 0)[:, None, None]
    yield rng.random((len(DELAYS), *SHAPE)) < 0.2


def mask_files(folder, hole):
    """Write masks: one file for equal holes; otherwise a TIFF, a GIF, or a file for each frame."""
    if (hole == hole[0]).all():
        Image.fromarray(hole[0]).save(folder / "m.png")
        return (folder / "m.png",)
    pages = [Image.fromarray(part.astype(np.uint8) * 255) for part in hole]
    kind = int(hole.sum()) % 3
    if kind == 2:
        for i, page in enumerate(pages):
            page.save(folder / f"m{i}.png")
        return tuple(folder / f"m{i}.png" for i in range(len(pages)))
    path = folder / ("m.tif" if kind else "m.png")
    pages[0].save(path, save_all=True, append_images=pages[1:])
    return (path,)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_shown_outside_the_holes_stays_and_the_holes_are_filled(kind, tmp_path):
    rng = np.random.default_rng(len(kind))
    for case, hole in enumerate(holes(rng)):
        encoded = KINDS[kind](rng)
        before, described, format = shown(encoded)
        source, target = (tmp_path / f"{name}.{ENDINGS[format]}" for name in ("in", "out"))
        source.write_bytes(encoded)
        try:
            done = fill(Grey(), Job(source, mask_files(tmp_path, hole), target), OPTIONS)
        except InputError as error:  # colours of earlier frames that a frame's mode cannot store
            assert case > 4 and kind in ("PNG RGB 8", "PNG L 8") and "cannot be stored" in str(error)
            continue
        assert (done.status, done.frames) == ("filled" if hole.any() else "unchanged", len(DELAYS))
        after, described_after, format_after = shown(target.read_bytes())
        assert (described_after, format_after) == (described, format)
        np.testing.assert_array_equal(after[..., 3], before[..., 3], err_msg=str(case))
        visible = before[..., 3] > 0
        if kind == "WEBP lossy":
            assert np.abs(after.astype(int) - before)[visible & ~hole].sum() < 60 * before.size
            continue
        np.testing.assert_array_equal(after[visible & ~hole], before[visible & ~hole], err_msg=str(case))
        cleared = (before == [0, 0, 0, 255]).all(-1)  # Pillow has no transparency in files without alpha
        assert (after[visible & hole & ~cleared][:, :3] == FILL).all(), case


def write(path, encoded):
    path.write_bytes(encoded)
    return path


def mask_file(folder, *boxes):
    hole = np.zeros(SHAPE, bool)
    for box in boxes:
        hole[box] = True
    Image.fromarray(hole).save(folder / "mask.png")
    return hole, (folder / "mask.png",)


@pytest.mark.parametrize("kind", ["GIF, one palette", "PNG RGBA 8", "WEBP RGBA"])
def test_only_pixels_that_a_frame_shows_are_filled_again(kind, tmp_path):
    """What does not move does not flicker, and frames outside the hole keep their bytes."""
    encoded = KINDS[kind](np.random.default_rng(3))
    hole, masks = mask_file(tmp_path, np.s_[:3, :3])
    source = write(tmp_path / f"in.{ENDINGS[kind[:4].strip(', ')]}", encoded)
    inpainter, target = Grey(), tmp_path / f"out{source.suffix}"
    fill(inpainter, Job(source, masks, target), OPTIONS)
    frames = [list(image_io.split(content, "a").frames) for content in (encoded, target.read_bytes())]
    changed = [new != old for old, new in zip(*frames, strict=True)]
    assert changed[0] and len(inpainter.holes) <= sum(changed) < len(changed)
    assert all((filled & ~hole).sum() == 0 for filled in inpainter.holes)


def test_an_interlaced_png_becomes_the_same_not_interlaced(tmp_path):
    _, masks = mask_file(tmp_path, np.s_[3:9, 4:20])
    results = []
    for interlaced in (False, True):
        encoded = apng(np.random.default_rng(5), "RGBA", interlaced=interlaced)
        source = write(tmp_path / f"in{interlaced}.png", encoded)
        fill(Grey(), Job(source, masks, tmp_path / "new" / source.name), OPTIONS)
        results.append(shown((tmp_path / "new" / source.name).read_bytes())[0])
    np.testing.assert_array_equal(*results)


def test_soft_masks_mix_frames(tmp_path):
    encoded = KINDS["PNG RGB 8"](np.random.default_rng(5))
    grey = np.zeros(SHAPE, np.uint8)
    grey[4:12, 5:25] = np.arange(20) * 255 // 19
    Image.fromarray(grey).save(tmp_path / "mask.png")
    source = write(tmp_path / "in.png", encoded)
    fill(Grey(), Job(source, (tmp_path / "mask.png",), tmp_path / "out.png"), replace(OPTIONS, soft=True))
    before, after = shown(encoded)[0][0, ..., :3], shown((tmp_path / "out.png").read_bytes())[0][0, ..., :3]
    weight = grey[..., None] / 255
    assert np.abs(after - (weight * FILL + (1 - weight) * before)).max() <= 0.5 + 1e-6
    np.testing.assert_array_equal(after[grey == 0], before[grey == 0])


def test_tags_of_all_pages_stay_and_thumbnails_are_left_out(tmp_path):
    pages = [Image.fromarray(np.full((*SHAPE, 3), 40 * i, np.uint8)) for i in range(3)]
    files = []
    for i, page in enumerate(pages):
        exif = Image.Exif()
        exif[0x010E], exif[254], exif.get_ifd(0x8769)[0x9003] = f"page {i}", i // 2, f"2020:01:0{i + 1} 00:00:00"
        files.append(image_io.Frame(saved(page, "TIFF", exif=exif.tobytes())))
    source = write(tmp_path / "in.tif", tiff_pages.join(b"", files))
    _, masks = mask_file(tmp_path, np.s_[3:9, 4:20])
    done = fill(Grey(), Job(source, masks, tmp_path / "out.tif"), OPTIONS)
    assert done.frames == 2
    with Image.open(tmp_path / "out.tif") as after:
        assert after.n_frames == 2
        for i in range(2):
            after.seek(i)
            assert after.tag_v2[0x010E] == f"page {i}"
            assert after.getexif().get_ifd(0x8769)[0x9003] == f"2020:01:0{i + 1} 00:00:00"


@pytest.mark.parametrize(("options", "output", "masks", "message"), [
    (Options(), "out.gif", 1, r"in\.gif: has several frames or pages; --frames fills all of them"),
    (OPTIONS, "out.png", 1, r"in\.gif: its 5 frames can only be written as GIF"),
    (replace(OPTIONS, format="webp"), "out", 1, r"in\.gif: its 5 frames can only be written as GIF"),
    (OPTIONS, "out.gif", 0, r"in\.gif: transparency is no hole in frames"),
    (OPTIONS, "out.gif", 3, r"in\.gif: has 5 frames and 3 masks; give one mask for all frames, or one for each"),
    (OPTIONS, "out.gif", -3, r"m\.tif: has 3 frames, and .*in\.gif has 5; give one mask"),
    (replace(OPTIONS, allow_empty=False), "out.gif", 1, r"m0\.png: no pixel is to be filled"),
])
def test_what_cannot_be_filled_is_one_line_and_nothing_is_written(tmp_path, options, output, masks, message):
    source = write(tmp_path / "in.gif", KINDS["GIF, one palette"](np.random.default_rng(0)))
    pages = [Image.new("L", SHAPE[::-1]) for _ in range(abs(masks))]
    if masks < 0:
        pages[0].save(tmp_path / "m.tif", save_all=True, append_images=pages[1:])
    for i, page in enumerate(pages):
        page.save(tmp_path / f"m{i}.png")
    paths = [tmp_path / "m.tif"] if masks < 0 else [tmp_path / f"m{i}.png" for i in range(masks)]
    with pytest.raises(InputError, match=message):
        fill(Grey(), Job(source, tuple(paths), tmp_path / output), options)
    assert not (tmp_path / output).exists()


def test_a_gif_that_would_need_too_many_colours_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(patches, "COLOURS", 6)
    source = write(tmp_path / "in.gif", KINDS["GIF, own palettes"](np.random.default_rng(0)))
    *_, moving, _, _ = holes(np.random.default_rng(0))
    with pytest.raises(InputError, match=r"in\.gif, frame \d: with pixels of earlier frames .* more than 256 colours"):
        fill(Grey(), Job(source, mask_files(tmp_path, moving), tmp_path / "out.gif"), OPTIONS)
    assert not (tmp_path / "out.gif").exists()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("PNG") or kind == "PNG P 8"])
def test_damaged_files_are_one_line(kind, tmp_path):
    rng = np.random.default_rng(1)
    encoded = KINDS[kind](rng)
    _, masks = mask_file(tmp_path, np.s_[3:9, 4:20])
    for case in range(40):
        damaged = bytearray(encoded)
        if case % 2:
            del damaged[rng.integers(8, len(damaged)) :]
        else:
            for _ in range(3):
                damaged[rng.integers(4, min(len(damaged), 400))] = rng.integers(256)
        source = write(tmp_path / f"in.{ENDINGS[kind[:4].strip(', ')]}", bytes(damaged))
        with contextlib.suppress(InputError):
            fill(Grey(), Job(source, masks, tmp_path / f"out{source.suffix}"), OPTIONS)
