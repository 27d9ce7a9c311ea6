"""`mai masks`: one line per user error, exit codes, and the same bytes in another process."""

import subprocess
import sys
from pathlib import Path

import pytest

from mai_jax.cli.main import main
from mai_jax.evaluation.mask_benchmark import generation, manifest

ROOT = Path(__file__).parents[2]


def test_make_and_bin(tmp_path, capsys):
    make = ["masks", "make", f"--output={tmp_path / 'a'}", "--size=32", "--per-bin=1", "--seed=3", "--edges=.1,.2,.4"]
    assert [main(make), main(make)] == [0, 0]
    assert capsys.readouterr().out == f"{tmp_path / 'a'}: 4 holes\n{tmp_path / 'a'}: already holds this set\n"
    assert main(["masks", "bin", f"{tmp_path / 'a'}", f"--output={tmp_path / 'index.jsonl'}", "--size=16"]) == 0
    assert len(manifest.load(tmp_path / "index.jsonl").entries) == 4

    make[2] = f"--output={tmp_path / 'b'}"
    command = [sys.executable, "-m", "mai_jax", *make]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{tmp_path / 'b'}: 4 holes\n", "")
    assert {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "b").iterdir()}


@pytest.mark.parametrize(("arguments", "message"), [
    ("", "make|bin|coco"),
    ("draw", "invalid choice: 'draw'"),
    ("make --per-bin=1", "--output"),
    ("make --output=DIR --per-bin=one", "--per-bin: invalid int value: 'one'"),
    ("make --output=DIR --per-bin=1 --edges=.1,b", "--edges"),
    ("make --output=DIR --per-bin=1 --see=1", "--see=1"),
    ("make --output=DIR/file --per-bin=1", "file: Not a directory"),
    ("bin", "DIR"),
    ("bin DIR/nothing", "nothing': there is no such folder"),
    ("bin DIR --mask-means=white", "--mask-means"),
    ("coco DIR/nothing --output=DIR/x", "nothing: cannot be read"),
    ("coco DIR/file --output=DIR/x", "file: is not JSON; give an annotation file of COCO or LVIS"),
])  # fmt: skip
def test_a_user_error_is_one_line(tmp_path, capsys, arguments, message):
    (tmp_path / "file").touch()
    assert main(["masks", *arguments.replace("DIR", str(tmp_path)).split()]) == 1
    out, error = capsys.readouterr()
    assert error.startswith("error: ") and len(error.splitlines()) == 1 and message in error and not out
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_ctrl_c(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(generation, "make", interrupted)
    assert main(["masks", "make", "--output=x", "--per-bin=1"]) == 130
