"""`mai inpaint`: the form of its results - format, quality, standard streams, lines of JSON - and soft masks."""

import io
import json
import sys

import numpy as np
import pytest
from PIL import Image
from skimage import data

from mai_jax import image_io
from mai_jax.cli import inpaint
from mai_jax.cli.main import main

PHOTO = data.astronaut()[:60, 150:230]
HOLE = np.zeros(PHOTO.shape[:2], bool)
HOLE[20:30, 30:50] = HOLE[40:44, 10:14] = True


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for name in ("a.png", "b.jpg", "c.jpeg"):
        Image.fromarray(PHOTO).save(folder / name)
    Image.fromarray(HOLE).save(folder / "mask.png")
    return folder


class Binary(io.TextIOWrapper):
    """A text stream over bytes, as that of a process."""

    def __init__(self, content=b""):
        super().__init__(io.BytesIO(content), write_through=True)


def run(*flags):
    return main(["inpaint", "--model=biharmonic", *map(str, flags)])


def test_formats_and_qualities(folder, tmp_path):
    assert run(f"--image={folder}/[abc].*", f"--mask={folder}/mask.png", "--format=jpg", "--quality=40",
               f"--output={tmp_path}") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "b.jpg", "c.jpeg"]
    expected = io.BytesIO()
    Image.fromarray(PHOTO).save(expected, "JPEG", quality=40)
    tables = Image.open(expected).quantization
    for path in tmp_path.iterdir():
        with Image.open(path) as after:
            assert after.format == "JPEG" and after.quantization == tables


@pytest.mark.parametrize("format", ["webp", "heic"])
def test_without_loss_every_pixel_outside_the_hole_stays(folder, tmp_path, format):
    if format == "heic":
        pytest.importorskip("pillow_heif", reason="install the extra `heif`")
    arguments = [f"--image={folder}/a.png", f"--mask={folder}/mask.png"]
    for name, flags in {"exact": ["--lossless"], "good": [], "small": ["--quality=20"]}.items():
        assert run(*arguments, f"--output={tmp_path}/{name}.{format}", *flags) == 0
    photos = {path.stem: image_io.decode(path.read_bytes(), path.name).rgb for path in tmp_path.iterdir()}
    np.testing.assert_array_equal(photos["exact"][~HOLE], PHOTO[~HOLE])
    assert (photos["good"][~HOLE] != PHOTO[~HOLE]).any()
    size = {path.stem: path.stat().st_size for path in tmp_path.iterdir()}
    assert size["small"] < size["good"] < size["exact"]


def test_a_name_that_two_results_would_have_is_an_error_of_the_second(folder, tmp_path, capsys):
    Image.fromarray(PHOTO).save(tmp_path / "a.bmp")
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    flags = (f"--image={tmp_path}/a.*", f"--mask={folder}/mask.png", "--format=webp", f"--output={tmp_path}/new")
    for summary in ("1 filled, 0 skipped, 1 failed", "0 filled, 1 skipped, 1 failed"):
        assert run(*flags) == 1
        out = capsys.readouterr().out.replace(f"{tmp_path}/", "")
        assert "error: a.png: its result would be new/a.webp, as that of a.bmp; rename one of them" in out
        assert summary in out


@pytest.mark.parametrize(("image", "mask", "output", "format"), [
    ("-", "mask.png", "-", "JPEG"), ("b.jpg", "mask.png", "-", "JPEG"), ("b.jpg", "-", "-", "JPEG"),
    ("-", "mask.png", "new.png", "PNG"), ("-", "mask.png", "new", "WEBP"),
])
def test_standard_input_and_output(folder, tmp_path, monkeypatch, capfd, image, mask, output, format):
    place = {"-": "-", "new": tmp_path / "new", "new.png": tmp_path / "new.png"}
    content = (folder / ("b.jpg" if image == "-" else "mask.png")).read_bytes()
    monkeypatch.setattr(sys, "stdin", Binary(content))
    monkeypatch.setattr(sys, "stdout", streams := Binary())
    flags = ["--format=webp"] if format == "WEBP" else []
    assert run(f"--image={image if image == '-' else folder / image}", f"--output={place[output]}", *flags,
               f"--mask={mask if mask == '-' else folder / mask}") == 0
    written = streams.buffer.getvalue() if output == "-" else place[output].read_bytes()
    photo = image_io.decode(written, "result")
    assert photo.format == format and photo.rgb.shape == PHOTO.shape
    if output == "-":  # messages are on standard error
        assert "1 filled, 0 skipped, 0 failed" in capfd.readouterr().err


@pytest.mark.parametrize(("flags", "message"), [
    (("--image=-", "--mask=-", "--output=x.png"), "--image=- and --mask=-: there is one standard input"),
    (("--image=-", "--output=."), "--output=.: a photograph from standard input has no name"),
    (("--image={}", "--output=-"), "--output=-: is for one photograph"),
    (("--image={}/a.png", "--output=-", "--json"), "--output=- and --json: standard output holds the photograph"),
    (("--image={}/a.png", "--output=-", "--attention"), "--output=- and --attention: "),
    (("--image={}/a.png", "--output=x.jpg", "--format=png"), "--output=x.jpg: has the ending of a JPEG file"),
    (("--image={}/a.png", "--output=x.png", "--quality=50"), "--quality and --output=x.png: no result has"),
    (("--image={}/a.png", "--output=x", "--quality=50", "--format=png"), "--quality and --format=png: "),
    (("--image={}/a.png", "--output=x.webp", "--quality=50", "--lossless"), "--quality and --lossless: "),
    (("--image={}/a.png", "--output=x.png", "--soft", "--dilate=3"), "--soft and --dilate: "),
    (("--image={}/a.png", "--output=x.png", "--soft", "--mask-threshold=9"), "--soft and --mask-threshold: "),
    (("--image={}/a.png", "--output=x.png", "--quality=0"), "--quality: 0: must be at least 1"),
])
def test_flags_that_contradict_each_other_are_one_line(folder, tmp_path, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(tmp_path)
    assert run(*(flag.format(folder) for flag in flags)) == 1
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.png", "b.jpg"])
def test_what_cannot_be_lossless_is_refused(folder, tmp_path, capsys, name):
    assert run(f"--image={folder / name}", f"--mask={folder}/mask.png", "--lossless", f"--output={tmp_path}/x.jpg") == 1
    assert f"{name}: JPEG always loses; without loss write a PNG, WebP or HEIC" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_one_line_of_json_per_photograph(folder, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    for name in ("done.png", "empty.png", "hole.png", "lost.png"):
        Image.fromarray(PHOTO).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "broken.png").write_bytes(b"no image")
    (tmp_path / "masks").mkdir()
    for name in ("broken", "done", "empty", "hole"):
        Image.fromarray(HOLE & (name != "empty")).save(tmp_path / "masks" / f"{name}.png")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "done.png").write_bytes(b"")
    assert run(f"--image={tmp_path}/photos", f"--mask={tmp_path}/masks", f"--output={tmp_path}/new", "--json",
               "--allow-empty") == 1
    streams = capsys.readouterr()
    lines = {line["image"].rsplit("/", 1)[1]: line for line in map(json.loads, streams.out.splitlines())}
    assert {name: line["status"] for name, line in lines.items()} == {
        "broken.png": "failed", "done.png": "skipped", "empty.png": "unchanged", "hole.png": "filled",
        "lost.png": "failed"}
    assert lines["hole.png"].pop("seconds") > 0
    assert lines["hole.png"] == {"image": f"{tmp_path}/photos/hole.png", "status": "filled", "holes": 2,
                                 "output": f"{tmp_path}/new/hole.png", "share": 0.045}
    assert lines["broken.png"]["error"] in streams.err and "1 filled, 1 unchanged, 1 skipped, 2 failed" in streams.err


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_soft_mask_mixes_the_fill_with_the_photograph_by_its_grey(tmp_path, depth):
    pixels = PHOTO[..., 0].astype(depth) * (257 if depth == np.uint16 else 1)
    grey = np.tile(np.clip(np.arange(80, dtype=int) - 30, 0, 20) * 255 // 20, (60, 1)).astype(np.uint8)
    grey[:20] = grey[40:] = 0
    for name, values in {"photo": pixels, "soft": grey, "hard": grey > 0}.items():
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    results = {}
    for name, flags in {"soft": ["--soft"], "hard": []}.items():
        assert run(f"--image={tmp_path}/photo.png", f"--mask={tmp_path}/{name}.png",
                   f"--output={tmp_path}/{name}_filled.png", *flags) == 0
        results[name] = np.asarray(Image.open(tmp_path / f"{name}_filled.png")).astype(float)
    np.testing.assert_array_equal(results["soft"][grey == 0], pixels[grey == 0])
    np.testing.assert_array_equal(results["soft"][grey == 255], results["hard"][grey == 255])
    expected = grey / 255 * results["hard"] + (1 - grey / 255) * pixels
    assert np.abs(results["soft"] - expected).max() <= 0.5 + 1e-6 and len(np.unique(grey)) > 10


def test_soft_transparency_is_laid_over_the_fill(tmp_path):
    alpha = np.full((60, 80), 255, np.uint8)
    alpha[20:30, 30:50] = np.arange(20) * 12
    Image.fromarray(np.dstack([PHOTO, alpha])).save(tmp_path / "photo.png")
    Image.fromarray(alpha < 255).save(tmp_path / "hard.png")
    for name, flag in {"soft": "--soft", "hard": f"--mask={tmp_path}/hard.png"}.items():
        assert run(f"--image={tmp_path}/photo.png", f"--output={tmp_path}/{name}_filled.png", flag) == 0
    soft, hard = (np.asarray(Image.open(tmp_path / f"{name}_filled.png")) for name in ("soft", "hard"))
    assert (soft[..., 3] == 255).all()
    opacity = alpha[..., None] / 255
    assert np.abs(soft[..., :3] - (opacity * PHOTO + (1 - opacity) * hard[..., :3])).max() <= 0.5 + 1e-6


def test_formats_that_are_repeated_in_the_command():
    by_ending = {format: image_io.FORMAT_OF_SUFFIX[f".{format}"] for format in inpaint.FORMATS}
    assert set(by_ending.values()) == set(image_io.FORMAT_OF_SUFFIX.values()) - {"GIF"}  # others do not become a GIF
    assert {by_ending[format] for format in inpaint.LOSSY} == set(image_io.QUALITY_FORMATS)
