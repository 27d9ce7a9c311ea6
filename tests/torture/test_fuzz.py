"""The fuzzer's short form; and that it finds what it is there to find."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cheap_compilation import environment
from tests.torture import fuzz
from tests.torture.mutation import PNG, mutated, with_true_checksums

ROOT = Path(__file__).parents[2]
PLAIN = environment() | {"PYTHONPATH": str(ROOT)}
# Not those that take a second and more for their first input.
ENTRANCES = ("photographs to repair", "photographs to learn from", "masks", "folders to measure",
             "holes of a benchmark", "checkpoints", "state dicts of PyTorch", "weights of VGG and the like", "configs",
             "records of comparisons", "requests to the page", "visits of the page")  # fmt: skip


def test_a_few_hundred_inputs_break_no_promise(tmp_path):
    record = tmp_path / "counts.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.torture.fuzz", "--inputs=300", "--seed=1", "--workers=1", f"--record={record}",
         f"--entrances={','.join(ENTRANCES)}", f"--findings={tmp_path / 'findings'}"],
        cwd=ROOT, env=PLAIN, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    counts = json.loads(record.read_text())
    assert counts["inputs"] == 300 and counts["findings"] == 0
    for name in ENTRANCES:
        own = counts["entrances"][name]
        assert own["inputs"] == own["accepted"] + own["refused"] > 5


# What an entrance may do wrong, and what the fuzzer calls it.
WRONGS = {
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
    "raise InputError('a: is wrong; mend it')": "refused",
}
PLANTED = """
import contextlib, json, os, pathlib, pickle, socket, subprocess, sys
from mai_jax.types import InputError, RunError
from tests.torture import worker
from tests.torture.entrances import ENTRANCES, Entrance
place = pathlib.Path(sys.argv[1])
guard, found = worker.Guard(place), {}
for wrong in json.loads(sys.argv[2]):
    def use(folder):
        exec(wrong)
    def swallowed(folder):
        with contextlib.suppress(OSError):
            use(folder)
    ENTRANCES["planted"] = Entrance(lambda: [], swallowed, 1, 64)
    found[wrong] = worker._tried("planted", {"a": b"a"}, place / "case", guard)["outcome"]
print(json.dumps(found))
"""


def test_every_kind_of_wrong_is_found_even_if_the_code_swallows_the_error(tmp_path):
    (tmp_path / "worker").mkdir()
    done = subprocess.run([sys.executable, "-c", PLANTED, tmp_path / "worker", json.dumps(list(WRONGS))], cwd=ROOT,
                          env=PLAIN, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == WRONGS


UNRULY = """
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


def test_an_input_that_hangs_or_kills_is_found_and_the_rest_goes_on(tmp_path):
    worker = fuzz.Worker(tmp_path / "worker", [sys.executable, "-c", UNRULY], 2)
    (tmp_path / "worker" / "chatter.txt").touch()
    try:
        results = fuzz._all([worker], ["only"], range(4))
    finally:
        worker.end()
    assert [result["outcome"] for result in results] == ["accepted", "hung", "crashed", "accepted"]
    assert f"{-signal.SIGSEGV}" in results[2]["said"]


@pytest.mark.parametrize("tree", [{"a.png": PNG + bytes(60)}, {"a.json": b'{"a": [1, {"b": "c"}]}', "b/c": bytes(9)}])
def test_an_input_follows_from_its_number(tree):
    made = [[mutated(tree, [tree], np.random.default_rng([0, number])) for number in range(50)] for _ in range(2)]
    assert made[0] == made[1]
    assert sum(other != tree for other in made[0]) > 40


def test_checksums_are_mended():
    from tests.torture.seeds import mask

    broken = bytearray(mask())
    broken[18] ^= 1
    mended = with_true_checksums(bytes(broken))
    assert len(mended) == len(broken) and mended != bytes(broken) and with_true_checksums(mask()) == mask()
