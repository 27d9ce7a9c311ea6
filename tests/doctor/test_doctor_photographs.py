"""A folder with one file of each issue gives exactly these findings; clean photographs give none."""

import time

import cv2
import numpy as np
import pytest
import skimage
from PIL import Image

from mai_jax.config import Config, Data
from mai_jax.data import sources
from mai_jax.data.containers import Folder
from mai_jax.doctor import photographs, scan

SIZE = 64
CONFIG = Config(image_size=SIZE, data=Data(train="here", test="there", shorter_side=80))


def crops():
    """Yield different crops of 100 x 120 pixels of colour photographs."""
    for whole in (skimage.data.astronaut(), skimage.data.coffee()):
        for y in range(0, 400, 100):
            for x in range(0, 360, 120):
                yield Image.fromarray(whole[y:y + 100, x:x + 120])


CROPS = list(crops())


def survey(folder, size=SIZE):
    names = sorted(path.name for path in folder.iterdir())
    return photographs.survey(sources.Files(Folder(folder, names)), size)


def messages(section):
    return [(finding.severity, finding.message) for finding in section.findings]


@pytest.fixture
def clean(tmp_path):
    folder = tmp_path / "clean"
    folder.mkdir()
    for i, image in enumerate(CROPS[:6]):
        image.save(folder / f"{i}.{['png', 'jpg', 'webp'][i % 3]}")
    CROPS[6].convert("RGBA").save(folder / "opaque.png")
    exif = Image.Exif()
    exif[0x0112] = 1
    CROPS[7].save(folder / "upright.jpg", exif=exif)
    return folder


def test_clean_photographs_give_no_finding(clean):
    section = photographs.section(survey(clean), "train", CONFIG)
    assert not section.findings
    assert str(section) == ("photographs for training: 8 (here)\n"
                            "  shorter sides 100 to 100 px, median 100, all resized to 80")


def test_each_issue_is_found_once_and_nothing_else(clean):
    a, b, c, d, e, f, g, h = CROPS[8:16]
    a.resize((60, 50)).save(clean / "a_small.png")
    Image.new("RGB", (100, 100), "navy").save(clean / "b_blank.png")
    b.convert("L").convert("RGB").save(clean / "c_grey.jpg")
    c.convert("CMYK").save(clean / "d_cmyk.jpg")
    cv2.imwrite(str(clean / "e_deep.png"), np.asarray(d).astype(np.uint16) * 257)
    alpha = np.full((100, 120), 255, np.uint8)
    alpha[:5] = 254
    e.putalpha(Image.fromarray(alpha))
    e.save(clean / "f_alpha.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    f.save(clean / "g_rotated.jpg", exif=exif)
    (clean / "h_cut.jpg").write_bytes((clean / "1.jpg").read_bytes()[:-100])
    (clean / "i_text.png").write_text("no image")
    g.resize((15, 200)).save(clean / "j_tiny.png")
    Image.fromarray(np.ones((20, 20), np.float32)).save(clean / "k_float.tif")
    (clean / "l_copy.png").write_bytes((clean / "0.png").read_bytes())
    h.save(clean / "m.png")
    h.resize((240, 200)).save(clean / "n_twin.jpg", quality=60)

    section = photographs.section(survey(clean), "train", CONFIG)
    assert sorted(messages(section)) == sorted([
        ("error", "4 unusable: "
                  "h_cut.jpg: cannot be read as an image (image file is truncated (0 bytes not processed)), "
                  "i_text.png: is not an image of a known format, "
                  "j_tiny.png: is 15 x 200 pixels, but at least 16 per side are needed, ..."),
        ("warning", "1 small: a_small.png (60 x 50)"),
        ("warning", "1 blank: b_blank.png"),
        ("warning", "1 grey: c_grey.jpg"),
        ("warning", "1 CMYK: d_cmyk.jpg"),
        ("warning", "1 16 bit: e_deep.png"),
        ("warning", "1 transparent: f_alpha.png"),
        ("warning", "1 EXIF-rotated: g_rotated.jpg"),
        ("warning", "1 duplicates, byte for byte: l_copy.png = 0.png"),
        ("warning", "1 near-duplicates: n_twin.jpg = m.png"),
    ])  # fmt: skip
    assert ", so 1 are enlarged" in section.facts[0]


@pytest.mark.parametrize(("mode", "issue"), [("L", "grey"), ("I;16", "16 bit"), ("1", "grey"), ("LA", "transparent")])
def test_modes(tmp_path, mode, issue):
    grey = CROPS[0].convert("L")
    image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    if mode == "LA":
        image.putalpha(grey)
    name = "x.jp2" if mode == "I;16" else "x.png"
    image.save(tmp_path / name)
    section = photographs.section(survey(tmp_path), "train", CONFIG)
    assert ("warning", f"1 {issue}: {name}") in messages(section)


def test_overlap_is_named_and_test_images_are_resized_to_image_size(clean, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "same.webp").write_bytes((clean / "2.webp").read_bytes())
    Image.open(clean / "3.png").point(lambda value: value * 0.8).save(other / "dark.jpg")
    CROPS[8].save(other / "own.png")
    (other / "cut.png").write_bytes((clean / "0.png").read_bytes()[:900])
    train, test = survey(clean), survey(other)
    assert messages(photographs.overlap(train, test)) == [
        ("warning", "1 are in both, byte for byte: same.webp = 2.webp"),
        ("warning", "1 look like one of training: dark.jpg = 3.png"),
    ]
    assert photographs.section(test, "test", CONFIG).facts == [
        "shorter sides 100 to 100 px, median 100, all resized to 64"]


def test_a_scan_keeps_the_order_and_ends_when_it_is_closed():
    assert list(scan.scan(lambda i: i * i, 100, "squares")) == [i * i for i in range(100)]
    started = []

    def record(i):
        started.append(i)
        time.sleep(1e-4)

    results = scan.scan(record, 100_000, "closed early")
    next(results)
    results.close()  # as Ctrl-C does
    assert len(started) < 50_000


def test_a_missing_file_is_a_finding(clean):
    source = sources.Files(Folder(clean, ["0.png", "gone.png"]))
    section = photographs.section(photographs.survey(source, SIZE), "train", CONFIG)
    [(severity, message)] = messages(section)
    assert severity == "error" and message.startswith("1 unusable: ") and "gone.png: cannot be read" in message


@pytest.mark.parametrize("part, count, severity", [
    ("train", 20, "warning"), ("train", 19, "error"), ("test", 20, "error"),
])  # fmt: skip
def test_photographs_that_training_leaves_out_are_no_error(tmp_path, part, count, severity):
    config = Config(image_size=SIZE, data=Data(shorter_side=SIZE, unreadable="skip"))
    for i in range(count):
        Image.new("RGB", (16, 16)).save(tmp_path / f"{i}.png")
    (tmp_path / "0.png").write_bytes(b"no image")
    findings = photographs.section(survey(tmp_path), part, config).findings
    [finding] = [finding for finding in findings if "unusable" in finding.message]
    assert finding.severity == severity
