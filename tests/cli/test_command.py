"""The commands in processes of their own: a user error is one line, exit code 1, and nothing is written."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mai_jax.cli.main import main
from tests.cheap_compilation import environment

ROOT = Path(__file__).parents[2]
QUICK = "--config=configs/quickstart.py"


def run(script: str, *flags: str, devices: int = 1) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, script, *flags], cwd=ROOT, env=environment(devices), capture_output=True,
                          text=True, timeout=600, check=False)


def make_photographs(folder: Path, count: int = 3, size: int = 40) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(rng.integers(0, 255, (size, size, 3), np.uint8)).save(folder / f"{i}.png")
    return folder


def test_flags(tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    no_steps = ("--config.main_phase.steps=0", "--config.finetune_phase.steps=0")
    cases = [
        (("train",), "no config"),
        (("train", "--config=configs/nothing.py"), "configs/nothing.py: no such file"),
        (("train", QUICK, "--config.main_phase.step=5"), "the nearest is main_phase.steps"),
        (("train", QUICK, "--config.batch_size=two"), "--config.batch_size=two: must be a whole number"),
        (("train", QUICK, "--confg=1"), "unknown flag --confg=1; did you mean --config?"),
        (("train", QUICK, "extra"), "unexpected argument 'extra'"),
        (("train", QUICK, f"--config.data.train={empty}"), f"{empty}"),
        (("train", f"{QUICK}:mia"), "--config=...:mia: no such variant; give one of mai, mai_residual"),
        (("train", QUICK, f"--config.holes.train_masks={empty}"), f"{empty}"),
        (("train", QUICK, "--config.vgg16.weights=README.md", "--config.vgg16.width=64"), "README.md: not a"),
        (("compare",), "no config"),
        (("compare", f"{QUICK}:pic"), "--config=...:pic: the methods are named by --methods=pic,..."),
        (("compare", QUICK, "--methods=pic,mia"), "--methods: there is no 'mia'; there are mai, mai_residual"),
        (("compare", QUICK, *no_steps), "config.main_phase.steps=0"),
        (("evaluate",), "give either --workdir=DIR"),
        (("evaluate", "--workdir=x", "--pred=x", "--truth=x", "--masks=x"), "give either --workdir=DIR"),
        (("evaluate", f"--pred={empty}", f"--truth={empty}", f"--masks={empty}"), "holds no image"),
        (("evaluate", f"--workdir={empty}"), "holds no checkpoint"),
    ]
    for command, message in cases:
        workdir = tmp_path / "run"
        flags = command if command[0] == "evaluate" else (*command, f"--workdir={workdir}")
        flags += ("--processes=1",) * (command[0] == "train")  # JAX is in use already
        assert main(flags) == 1, command
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1 and error.startswith("error: "), (command, error)
        assert message in error, (command, error)
        assert not workdir.exists(), command


def test_a_batch_size_that_is_no_multiple_of_the_devices(tmp_path):
    done = run("train.py", QUICK, f"--workdir={tmp_path / 'run'}", "--config.batch_size=9", devices=4)
    assert done.returncode == 1
    assert done.stderr == ("error: config.batch_size=9: not a multiple of the 4 devices; "
                           "give --config.batch_size=12\n")


@pytest.mark.parametrize(("name", "content", "message"), [
    ("text.png", b"not a picture", "is not an image"),
    ("cut.png", None, "cannot be read as an image"),
    ("tiny.png", (8, 40), "16"),
])
def test_an_unusable_photograph_ends_the_run_with_its_name(tmp_path, name, content, message):
    folder = make_photographs(tmp_path / "photos")
    if content is None:
        content = (folder / "0.png").read_bytes()[:600]
    if isinstance(content, tuple):
        Image.new("RGB", content).save(folder / name)
    else:
        (folder / name).write_bytes(content)
    test = make_photographs(tmp_path / "test")
    done = run("train.py", QUICK, f"--workdir={tmp_path / 'run'}", f"--config.data.train={folder}",
               f"--config.data.test={test}", "--config.image_size=32", "--config.data.shorter_side=32")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ") and name in last and message in last
