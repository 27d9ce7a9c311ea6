"""`python inpaint.py` in a process of its own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mai_jax.cli.main import main
from mai_jax.inference import photo_repair
from mai_jax.inference.photo_repair import fill
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


def run(capsys, folder, **flags):
    """Run the command in this process; return its exit code and its output with the folder's name removed."""
    flags = {"checkpoint": folder / "run", "mask": folder / "mask.png", **flags}
    code = main(["inpaint", *(f"--{name.replace('_', '-')}={value}" for name, value in flags.items())])
    streams = capsys.readouterr()
    lines = (streams.out + streams.err).replace(f"{folder}/", "").splitlines()
    return code, [line for line in lines if line.strip() and "%|" not in line]  # without the progress bar


def test_what_is_there_is_skipped_and_what_failed_is_tried_again(folder, capsys):
    for name in ("a", "c"):
        (folder / "there").mkdir(exist_ok=True)
        (folder / "there" / f"{name}.png").write_bytes(b"")
    code, lines = run(capsys, folder, image=folder / "photos", output=folder / "there")
    assert code == 1 and lines[0] == "2 of 3 are there already and are skipped; --overwrite fills them again"
    assert lines[1].startswith("error: photos/b.png: ") and lines[-1] == "0 filled, 2 skipped, 1 failed"


def test_photographs_without_a_mask_and_files_that_are_not_read_do_not_stop_the_others(folder, capsys, tmp_path):
    (tmp_path / "masks").mkdir()
    for name in ("a_mask001", "a_mask002"):
        (tmp_path / "masks" / f"{name}.png").write_bytes((folder / "mask.png").read_bytes())
    (folder / "photos" / "d.cr3").write_bytes(b"")
    code, lines = run(capsys, folder, image=folder / "photos", mask=tmp_path / "masks", output=tmp_path / "new")
    (folder / "photos" / "d.cr3").unlink()
    assert code == 1 and [line.replace(f"{tmp_path}/", "") for line in lines] == [
        "warning: photos: not read, because they are no images: 1 (d.cr3)",
        "error: photos/b.png: has no mask of its name in --mask=masks; add it (b.png or b_mask.png), or name one mask "
        "file for all",
        "error: photos/c.png: has no mask of its name in --mask=masks; add it (c.png or c_mask.png), or name one mask "
        "file for all",
        "masks/a_mask001.png: the union of 2 masks; in them white is the hole", "1 filled, 0 skipped, 2 failed"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]


def test_a_mask_that_marks_nothing_fails_or_is_counted_as_unchanged(folder, capsys, tmp_path):
    Image.new("L", (50, 40)).save(tmp_path / "empty.png")
    flags = {"image": folder / "photos" / "a.png", "mask": tmp_path / "empty.png", "output": tmp_path / "out.png"}
    code, lines = run(capsys, folder, **flags)
    assert code == 1 and "no pixel is to be filled" in lines[0] and lines[-1] == "0 filled, 0 skipped, 1 failed"
    assert not (tmp_path / "out.png").exists()
    code, lines = run(capsys, folder, allow_empty="true", **flags)
    assert code == 0 and lines[-1] == "0 filled, 1 unchanged, 0 skipped, 0 failed"
    code, lines = run(capsys, folder, overwrite="true", **flags | {"mask": folder / "mask.png"})
    assert code == 0 and lines[-2:] == ["mask.png: white is the hole", "1 filled, 0 skipped, 0 failed"]


def test_what_another_process_has_written_meanwhile_is_skipped(folder, capsys, tmp_path, monkeypatch):
    def fill_and_write_the_other(*given):
        (tmp_path / "c.png").write_bytes(b"of another process")
        return fill(*given)

    monkeypatch.setattr(photo_repair, "fill", fill_and_write_the_other)
    code, lines = run(capsys, folder, image=folder / "photos" / "[ac].png", output=tmp_path)
    assert code == 0 and lines[-1] == "1 filled, 1 skipped, 0 failed"
    assert (tmp_path / "c.png").read_bytes() == b"of another process"


@pytest.mark.parametrize(("flags", "line"), [
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
