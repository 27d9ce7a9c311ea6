"""`python inpaint.py` as its user calls it."""

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
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    untrained_run(place / "run")
    (place / "photos").mkdir()
    rng = np.random.default_rng(0)
    for name in "abc":
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), np.uint8)).save(place / "photos" / f"{name}.png")
    (place / "photos" / "b.png").write_bytes((place / "photos" / "b.png").read_bytes()[:900])
    hole = np.zeros((40, 50), bool)
    hole[10:20, 10:30] = True
    Image.fromarray(hole).save(place / "mask.png")
    return place


def test_one_bad_file_is_reported_and_the_rest_goes_on(place):
    flags = (f"--checkpoint={place / 'run'}", f"--image={place / 'photos'}", f"--mask={place / 'mask.png'}",
             f"--output={place / 'new'}")
    first = inpaint(*flags)
    assert first.returncode == 1
    assert f"error: {place / 'photos' / 'b.png'}: " in first.stdout + first.stderr
    assert "2 filled, 0 skipped, 1 failed" in first.stdout
    assert "Traceback" not in first.stdout + first.stderr
    assert sorted(path.name for path in (place / "new").iterdir()) == ["a.png", "c.png"]
    again = inpaint(*flags)
    assert again.returncode == 1
    assert "2 of 3 are there already and are skipped; --overwrite fills them again" in again.stdout


@pytest.mark.parametrize(("flags", "line"), [
    (("--image=x.png", "--output=y.png"), "error: flag --checkpoint=None: Flag --checkpoint must have a value"),
    (("--checkpoint=nowhere", "--image=configs", "--output=y"), "error: --image='configs': holds no image"),
])
def test_mistakes_are_one_line(flags, line):
    done = inpaint(*flags)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(line)
    assert "Traceback" not in done.stderr


def test_hyphens_and_underscores_are_one(place):
    done = inpaint("--mask-means=nonsense", f"--checkpoint={place}", "--image=x", "--output=y")
    assert done.returncode == 1 and "should be one of <hole|known>" in done.stderr
