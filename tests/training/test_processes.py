"""The real command in several processes: they are one run, whoever is told to end, and whoever dies."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mai_jax import checkpoint
from mai_jax.training import processes
from mai_jax.training.lock import alone
from mai_jax.types import InputError
from tests.cheap_compilation import environment
from tests.real_runs import ROOT, TINY, compiled_once, free_port, logged

DEVICES = 2
FLAGS = [
    *TINY, "--config.batch_size=4", "--config.train.steps=40", "--config.finetune.steps=0",
    "--config.run.save_every=10",
]  # fmt: skip


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts `python train.py` as some processes that have two devices together."""
    cache = tmp_path_factory.mktemp("compiled")

    def start(workdir: Path, count: int) -> list[subprocess.Popen]:
        env = compiled_once(environment(devices=DEVICES // count), cache)
        joining = [f"--coordinator=localhost:{free_port()}", f"--processes={count}"] if count > 1 else []
        return [subprocess.Popen([sys.executable, "train.py", *FLAGS, f"--workdir={workdir}", *joining,
                                  *([f"--process={index}"] if joining else [])],
                                 cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                for index in range(count)]  # fmt: skip

    return start


def ends(started: list[subprocess.Popen]) -> list[tuple[int, str]]:
    outputs = [process.communicate(timeout=900)[0] for process in started]
    return [(process.returncode, output) for process, output in zip(started, outputs, strict=True)]


def wait_for_lines(started: list[subprocess.Popen], workdir: Path, count: int) -> None:
    end = time.monotonic() + 600
    path = workdir / "log.jsonl"
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < end and all(process.poll() is None for process in started), "no progress"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def one(start, tmp_path_factory) -> Path:
    workdir = tmp_path_factory.mktemp("one")
    ((code, output),) = ends(start(workdir, 1))
    assert code == 0, output
    return workdir


def test_two_processes_are_one_run_and_one_or_two_can_go_on_with_it(start, one, tmp_path):
    """SIGTERM to either ends both at the same step; the losses are those of one process, to the bit."""
    two = start(tmp_path, 2)
    wait_for_lines(two, tmp_path, 12)
    two[1].send_signal(signal.SIGTERM)
    (code, output), (other_code, other_output) = ends(two)
    assert code == other_code == 0, output + other_output
    reached = checkpoint.steps(tmp_path)[-1]
    assert 12 <= reached < 40 and f"SIGTERM at step {reached}: saved" in output
    assert "step" not in other_output.replace("going on", "").split("Gloo")[0], "only the first process speaks"
    assert logged(tmp_path) == logged(one)[:reached]

    for count, lines in ((1, reached + 2), (2, 40)):
        going = start(tmp_path, count)
        wait_for_lines(going, tmp_path, lines)
        going[0].send_signal(signal.SIGTERM)
        (code, output), *_ = ends(going)
        assert code == 0 and f"going on from {tmp_path / 'checkpoints' / str(reached)}" in output, output
        reached = checkpoint.steps(tmp_path)[-1]
    assert reached == 40
    assert checkpoint.Reader(tmp_path).meta == checkpoint.Reader(one).meta  # holds a checksum of every array
    assert logged(tmp_path) == logged(one)


def test_a_process_that_dies_ends_the_others_with_one_line(start, tmp_path):
    two = start(tmp_path, 2)
    wait_for_lines(two, tmp_path, 12)
    two[1].kill()
    (code, output), _ = ends(two)
    assert code == 1
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert "another process has ended or cannot be reached" in line
    assert "Traceback" not in output and "stack trace" not in output
    assert checkpoint.Reader(tmp_path).step == 10


def test_a_second_run_in_the_folder_is_refused_with_the_first_ones_name(tmp_path):
    holder = """if True:
        import pathlib, sys
        from mai_jax.training.lock import alone
        with alone(pathlib.Path(sys.argv[1])):
            input()"""
    first = subprocess.Popen([sys.executable, "-c", holder, tmp_path], cwd=ROOT, stdin=subprocess.PIPE)
    end = time.monotonic() + 60
    while not (tmp_path / "lock").exists() or not (tmp_path / "lock").read_text():
        assert time.monotonic() < end
        time.sleep(0.01)
    with pytest.raises(InputError, match=f"process {first.pid} on {socket.gethostname()}"), alone(tmp_path):
        pass
    first.kill()
    first.communicate()
    with alone(tmp_path):
        assert (tmp_path / "lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"


@pytest.mark.parametrize(("given", "said"), [
    (("here:1", None, 0), "--processes is missing"),
    ((None, 2, None), "--coordinator is missing"),
    (("here:1", 2, 2), "--process=2: must be one of 0 to 1"),
    (("here", 2, 1), "--coordinator=here: must be HOST:PORT"),
])
def test_half_of_the_flags_are_no_flags(given, said):
    with pytest.raises(InputError, match=said):
        processes.join(*given)


def test_one_process_waits_for_nobody():
    processes.join(None, 1, None)
    assert not processes.many() and processes.first()
