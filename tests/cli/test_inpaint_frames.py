"""`mai inpaint --frames`: animations among photographs, and folders of video frames."""

import json

import numpy as np
from PIL import Image

from mai_jax.cli.main import main
from tests.image_io.frame_files import DELAYS, KINDS, SHAPE, shown

HOLE = np.zeros(SHAPE, bool)
HOLE[8:12, 10:16] = True


def run(*flags):
    return main(["inpaint", "--model=biharmonic", *map(str, flags)])


def test_files_of_several_frames_and_photographs_are_filled_and_the_rest_is_done_later(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    for name, kind in {"a.gif": "GIF, own palettes", "b.webp": "WEBP RGBA"}.items():
        (tmp_path / "in" / name).write_bytes(KINDS[kind](rng))
    Image.fromarray(rng.integers(0, 255, (*SHAPE, 3), np.uint8)).save(tmp_path / "in" / "c.png")
    Image.fromarray(HOLE).save(tmp_path / "mask.png")
    flags = (f"--image={tmp_path}/in", f"--mask={tmp_path}/mask.png", f"--output={tmp_path}/out", "--json")
    assert run(*flags) == 1  # as before, frames are not filled unless they are meant
    streams = capsys.readouterr()
    assert [json.loads(line)["status"] for line in streams.out.splitlines()] == ["failed", "failed", "filled"]
    assert streams.err.count("has several frames or pages; --frames fills all of them") == 2
    assert run(*flags, "--frames") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["status"], line.get("frames")) for line in lines] == [
        ("skipped", None), ("filled", len(DELAYS)), ("filled", len(DELAYS))]
    for name in ("a.gif", "b.webp"):
        (before, *described), (after, *again) = (shown((tmp_path / folder / name).read_bytes())
                                                 for folder in ("in", "out"))
        assert again == described
        np.testing.assert_array_equal(after[:, ~HOLE], before[:, ~HOLE])
        assert (after[0, HOLE] != before[0, HOLE]).any()


def test_a_film_with_masks_of_other_names_is_filled_in_order_and_goes_on(tmp_path, capsys):
    (tmp_path / "film").mkdir()
    (tmp_path / "masks").mkdir()
    rng, holes = np.random.default_rng(0), [np.roll(HOLE, 3 * i, 1) for i in range(3)]
    pictures = [rng.integers(0, 255, (*SHAPE, 3), np.uint8) for _ in holes]
    for i, (picture, hole) in enumerate(zip(pictures, holes, strict=True)):
        Image.fromarray(picture).save(tmp_path / "film" / f"frame{9 + i}.png")
        Image.fromarray(hole).save(tmp_path / "masks" / f"object_{9 + i:04}.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "frame9.png").write_bytes(b"of an earlier run")
    flags = (f"--image={tmp_path}/film", f"--output={tmp_path}/out", "--frames")
    assert run(*flags, f"--mask={tmp_path}/masks") == 0
    out = capsys.readouterr().out
    assert "they are taken in order: frame9.png with object_0009.png" in out and "2 filled, 1 skipped, 0 failed" in out
    for picture, hole, number in list(zip(pictures, holes, (9, 10, 11), strict=True))[1:]:
        after = np.asarray(Image.open(tmp_path / "out" / f"frame{number}.png"))
        np.testing.assert_array_equal((after != picture).any(-1) & ~hole, False)
        assert (after != picture)[hole].any()
