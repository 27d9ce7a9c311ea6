"""`python inpaint.py` in a process of its own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cheap_compilation import environment
from tests.untrained import untrained_run

ROOT = Path(__file__).parents[2]


def inpaint(*flags):
    return subprocess.run([sys.executable, "inpaint.py", *map(str, flags)], cwd=ROOT, env=environment(),
                          capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inpaint")
    untrained_run(folder / "run")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    for name in "abc":
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), np.uint8)).save(folder / "photos" / f"{name}.png")
    (folder / "photos" / "b.png").write_bytes((folder / "photos" / "b.png").read_bytes()[:900])
    hole = np.zeros((40, 50), bool)
    hole[10:20, 10:30] = True
    Image.fromarray(hole).save(folder / "mask.png")
    return folder


def test_an_unusable_file_is_reported_and_the_others_are_filled(folder):
    flags = (f"--checkpoint={folder / 'run'}", f"--image={folder / 'photos'}", f"--mask={folder / 'mask.png'}",
             f"--output={folder / 'new'}")
    first = inpaint(*flags)
    assert first.returncode == 1
    assert f"error: {folder / 'photos' / 'b.png'}: " in first.stdout + first.stderr
    assert "2 filled, 0 skipped, 1 failed" in first.stdout
    assert "Traceback" not in first.stdout + first.stderr
    assert sorted(path.name for path in (folder / "new").iterdir()) == ["a.png", "c.png"]
    again = inpaint(*flags)
    assert again.returncode == 1
    assert "2 of 3 are there already and are skipped; --overwrite fills them again" in again.stdout


@pytest.mark.parametrize(("flags", "line"), [
    (("--image=x.png", "--output=y.png"), "error: no model: give --model=DIR"),
    (("--checkpoint=nowhere", "--image=configs", "--output=y"), "error: --image='configs': holds no image"),
])
def test_a_user_error_is_one_line(flags, line):
    done = inpaint(*flags)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(line)
    assert "Traceback" not in done.stderr


def test_flag_names_may_have_hyphens(folder):
    done = inpaint("--mask-means=nonsense", f"--checkpoint={folder}", "--image=x", "--output=y")
    assert done.returncode == 1 and "--mask-means: invalid choice: 'nonsense'" in done.stderr
