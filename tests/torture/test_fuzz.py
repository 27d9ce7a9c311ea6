"""A short run of the fuzzer, and tests that it detects every kind of violation."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cheap_compilation import environment
from tests.torture import fuzz
from tests.torture.mutation import PNG, fix_png_checksums, mutate_tree

ROOT = Path(__file__).parents[2]
ENVIRONMENT = environment() | {"PYTHONPATH": str(ROOT)}
# Without those that take more than a second for their first input.
ENTRY_POINTS = ("photographs to repair", "frames to repair", "photographs to learn from", "archives to learn from",
             "lists to learn from", "soft masks", "masks", "folders to measure", "holes of a benchmark",
             "segments of COCO", "checkpoints", "packed models", "state dicts of PyTorch",
             "weights of VGG and the like", "configs", "records of comparisons", "requests to the page",
             "visits of the page")  # fmt: skip


def test_a_few_hundred_inputs_violate_nothing(tmp_path):
    record = tmp_path / "counts.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.torture.fuzz", "--inputs=300", "--seed=1", "--workers=1", f"--record={record}",
         f"--entry-points={','.join(ENTRY_POINTS)}", f"--findings={tmp_path / 'findings'}"],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    counts = json.loads(record.read_text())
    assert counts["inputs"] == 300 and counts["findings"] == 0
    for name in ENTRY_POINTS:
        row = counts["entry_points"][name]
        assert row["inputs"] == row["accepted"] + row["refused"] > 5


# Code of an entry point, and the outcome that the fuzzer must report.
VIOLATIONS = {
    "raise ValueError('no line')": "crashed",
    "raise RunError('')": "unclear",
    "raise SystemExit(1)": "crashed",
    "os.system('true')": "forbidden",
    "subprocess.run(['true'])": "forbidden",
    "pickle.loads(pickle.dumps(pathlib.PurePath('a')))": "forbidden",
    "open('/etc/hostname').read()": "forbidden",
    "open(folder / '../../outside', 'w')": "forbidden",
    "os.rename(folder, folder.parents[1] / 'outside')": "forbidden",
    "socket.create_connection(('127.0.0.1', 9))": "forbidden",
    "bytearray(80 << 20)": "memory",
    "open(folder / 'inside', 'w')": "accepted",
    "raise InputError('a: is wrong; fix it')": "refused",
}
PROGRAM = """
import contextlib, json, os, pathlib, pickle, socket, subprocess, sys
from mai_jax.errors import InputError, RunError
from tests.torture import worker
from tests.torture.entry_points import ENTRY_POINTS, EntryPoint
place = pathlib.Path(sys.argv[1])
guard, found = worker.Guard(place), {}
for code in json.loads(sys.argv[2]):
    def use(folder):
        exec(code)
    def suppressing(folder):
        with contextlib.suppress(OSError):
            use(folder)
    ENTRY_POINTS["test"] = EntryPoint(lambda: [], suppressing, 1, 64)
    found[code] = worker.run_input("test", {"a": b"a"}, place / "case", guard)["outcome"]
print(json.dumps(found))
"""


def test_every_kind_of_violation_is_found_even_if_the_code_suppresses_the_error(tmp_path):
    (tmp_path / "worker").mkdir()
    done = subprocess.run([sys.executable, "-c", PROGRAM, tmp_path / "worker", json.dumps(list(VIOLATIONS))], cwd=ROOT,
                          env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == VIOLATIONS


FAILING_WORKER = """
import json, os, sys, time
print("{}", flush=True)
for line in sys.stdin:
    number = int(line)
    if number == 1:
        time.sleep(60)
    if number == 2:
        os.kill(os.getpid(), 11)
    print(json.dumps({"number": number, "outcome": "accepted"}), flush=True)
"""


def test_an_input_that_hangs_or_crashes_the_worker_is_found_and_others_still_run(tmp_path):
    worker = fuzz.Worker(tmp_path / "worker", [sys.executable, "-c", FAILING_WORKER], 2)
    (tmp_path / "worker" / "output.txt").touch()
    try:
        results = fuzz._run_all([worker], ["only"], range(4))
    finally:
        worker.end()
    assert [result["outcome"] for result in results] == ["accepted", "hung", "crashed", "accepted"]
    assert f"{-signal.SIGSEGV}" in results[2]["message"]


@pytest.mark.parametrize("tree", [{"a.png": PNG + bytes(60)}, {"a.json": b'{"a": [1, {"b": "c"}]}', "b/c": bytes(9)}])
def test_an_input_follows_from_its_number(tree):
    first, second = ([mutate_tree(tree, [tree], np.random.default_rng([0, number])) for number in range(50)]
                     for _ in range(2))
    assert first == second
    assert sum(other != tree for other in first) > 40


def test_checksums_of_png_chunks_are_fixed():
    from tests.torture.seed_inputs import mask

    broken = bytearray(mask())
    broken[18] ^= 1
    fixed = fix_png_checksums(bytes(broken))
    assert len(fixed) == len(broken) and fixed != bytes(broken) and fix_png_checksums(mask()) == mask()
