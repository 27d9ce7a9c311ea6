"""The real command in several processes: they behave as one run on signals, errors and restarts."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mai_jax.errors import InputError
from mai_jax.training import checkpointing, distributed
from mai_jax.training.workdir_lock import workdir_lock
from tests.cheap_compilation import environment
from tests.real_runs import ROOT, TINY, free_port, logged, with_compilation_cache

DEVICES = 2
FLAGS = [
    *TINY, "--config.batch_size=4", "--config.main_phase.steps=40", "--config.finetune_phase.steps=0",
    "--config.run.save_every=10",
]  # fmt: skip


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Return a function that starts `python train.py` as `count` processes with two devices in total."""
    cache = tmp_path_factory.mktemp("compiled")

    def start(workdir: Path, count: int) -> list[subprocess.Popen]:
        env = with_compilation_cache(environment(devices=DEVICES // count), cache)
        cluster = [f"--coordinator=localhost:{free_port()}", f"--processes={count}"] if count > 1 else []
        return [subprocess.Popen([sys.executable, "train.py", *FLAGS, f"--workdir={workdir}", *cluster,
                                  *([f"--process={index}"] if cluster else [])],
                                 cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                for index in range(count)]  # fmt: skip

    return start


def wait_for_ends(processes: list[subprocess.Popen]) -> list[tuple[int, str]]:
    outputs = [process.communicate(timeout=900)[0] for process in processes]
    return [(process.returncode, output) for process, output in zip(processes, outputs, strict=True)]


def wait_for_lines(processes: list[subprocess.Popen], workdir: Path, count: int) -> None:
    deadline = time.monotonic() + 600
    path = workdir / "log.jsonl"
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < deadline and all(process.poll() is None for process in processes), "no progress"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def single(start, tmp_path_factory) -> Path:
    """The workdir of a finished run of one process."""
    workdir = tmp_path_factory.mktemp("one")
    ((code, output),) = wait_for_ends(start(workdir, 1))
    assert code == 0, output
    return workdir


def test_two_processes_are_one_run_that_one_or_two_can_resume(start, single, tmp_path):
    """SIGTERM to either ends both at the same step; the losses are bit for bit those of one process."""
    two = start(tmp_path, 2)
    wait_for_lines(two, tmp_path, 12)
    two[1].send_signal(signal.SIGTERM)
    (code, output), (other_code, other_output) = wait_for_ends(two)
    assert code == other_code == 0, output + other_output
    reached = checkpointing.steps(tmp_path)[-1]
    assert 12 <= reached < 40 and f"SIGTERM at step {reached}: saved" in output
    assert "step" not in other_output.split("Gloo")[0], "only the main process logs"
    assert logged(tmp_path) == logged(single)[:reached]

    for count, lines in ((1, reached + 2), (2, 40)):
        resumed = start(tmp_path, count)
        wait_for_lines(resumed, tmp_path, lines)
        resumed[0].send_signal(signal.SIGTERM)
        (code, output), *_ = wait_for_ends(resumed)
        assert code == 0 and f"resuming from {tmp_path / 'checkpoints' / str(reached)}" in output, output
        reached = checkpointing.steps(tmp_path)[-1]
    assert reached == 40
    # The meta item has a checksum of every array.
    assert checkpointing.CheckpointReader(tmp_path).meta == checkpointing.CheckpointReader(single).meta
    assert logged(tmp_path) == logged(single)


def test_a_killed_process_ends_the_others_with_one_line(start, tmp_path):
    two = start(tmp_path, 2)
    wait_for_lines(two, tmp_path, 12)
    two[1].kill()
    (code, output), _ = wait_for_ends(two)
    assert code == 1
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert "another process has ended or cannot be reached" in line
    assert "Traceback" not in output and "stack trace" not in output
    assert checkpointing.CheckpointReader(tmp_path).step == 10


def test_a_second_run_in_the_folder_is_refused_and_the_first_is_named(tmp_path):
    program = """if True:
        import pathlib, sys
        from mai_jax.training.workdir_lock import workdir_lock
        with workdir_lock(pathlib.Path(sys.argv[1])):
            input()"""
    first = subprocess.Popen([sys.executable, "-c", program, tmp_path], cwd=ROOT, stdin=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (tmp_path / "lock").exists() or not (tmp_path / "lock").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(InputError, match=f"process {first.pid} on {socket.gethostname()}"), workdir_lock(tmp_path):
        pass
    first.kill()
    first.communicate()
    with workdir_lock(tmp_path):
        assert (tmp_path / "lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"


@pytest.mark.parametrize(("arguments", "message"), [
    (("here:1", None, 0), "--processes is missing"),
    ((None, 2, None), "--coordinator is missing"),
    (("here:1", 2, 2), "--process=2: must be one of 0 to 1"),
    (("here", 2, 1), "--coordinator=here: must be HOST:PORT"),
])
def test_incomplete_or_wrong_flags_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        distributed.initialize(*arguments)


def test_a_single_process_does_not_wait_for_others():
    distributed.initialize(None, 1, None)
    assert not distributed.is_distributed() and distributed.is_main_process()
