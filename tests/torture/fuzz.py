"""Run damaged and hostile files through every entry point that reads untrusted files, and count the outcomes.

    python -m tests.torture.fuzz --inputs=10000 --seed=0

Every input follows from seed and number, so `--replay=NUMBER` runs it again. No input may execute anything, access
files outside of its folder, exceed the limits of memory and time, or raise anything but an error of one clear line.
Exit code 1 if an input violates this; it is saved under --findings.
"""

import argparse
import json
import os
import queue
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tests.torture.entry_points import ENTRY_POINTS, ROOT
from tests.torture.mutation import Tree
from tests.torture.worker import make_input, schedule, write

FINE = ("accepted", "refused")
BROKEN = ("unclear", "crashed", "hung", "memory", "forbidden")
START = 300.0  # seconds, time limit for the start of a worker


class Worker:
    """A process that runs inputs. It is restarted after an input that ends it."""

    def __init__(self, folder: Path, command: Sequence[str], seconds: float) -> None:
        folder.mkdir()
        (folder / "gs").write_text("#!/bin/sh\n")  # a PostScript interpreter, which an image library may find and start
        (folder / "gs").chmod(0o755)
        self._seconds = seconds
        self._command = [*command, str(folder)]
        self._folder = folder
        self._start()

    def _start(self) -> None:
        environment = os.environ | {"JAX_PLATFORMS": "cpu", "TMPDIR": str(self._folder), "HF_HUB_OFFLINE": "1",
                                    "XLA_FLAGS": "--xla_backend_optimization_level=0",
                                    "PATH": f"{self._folder}:{os.environ.get('PATH', '')}"}  # fmt: skip
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
                                         env=environment)
        if self._line(START) is None:
            raise SystemExit(f"a worker did not start:\n{self._output()}")

    def run_input(self, number: int) -> dict[str, Any]:
        """Return the result of input `number`; "hung" or "crashed" if the process does not answer."""
        start = time.monotonic()
        self._process.stdin.write(f"{number}\n".encode())
        self._process.stdin.flush()
        line = self._line(self._seconds)
        if line is not None:
            return json.loads(line)
        hung = self._process.poll() is None and time.monotonic() - start >= self._seconds
        self.end()
        code, output = self._process.returncode, self._output()
        self._start()
        return {"number": number, "outcome": "hung" if hung else "crashed", "seconds": time.monotonic() - start,
                "peak": 0.0, "message": output if hung else f"signal or exit code {code}\n{output}"}

    def _line(self, seconds: float) -> str | None:
        """Return the next line of the process, or None if there is none in time or the process has ended."""
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        return (self._process.stdout.readline().decode() or None) if ready else None

    def _output(self) -> str:
        return (self._folder / "output.txt").read_text(errors="replace")[-4000:]

    def end(self) -> None:
        """Kill the process."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count()))
    parser.add_argument("--seconds", type=float, default=20, help="time limit of one input; the machine may be busy")
    parser.add_argument("--entry-points", default=",".join(ENTRY_POINTS), help=f"some of: {', '.join(ENTRY_POINTS)}")
    parser.add_argument("--replay", type=int, metavar="NUMBER", help="run only this input, and print its message")
    parser.add_argument("--findings", type=Path, default=Path("runs/torture/findings"),
                        help="folder where inputs that violate a limit are saved")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the counts as JSON")
    given = parser.parse_args()
    chosen = given.entry_points.split(",")
    with tempfile.TemporaryDirectory() as scratch:
        valid = _seeds(Path(scratch), chosen)
        numbers = range(given.inputs) if given.replay is None else [given.replay]
        start = time.monotonic()
        command = [sys.executable, "-B", "-m", "tests.torture.worker", str(given.seed), given.entry_points]
        workers = [Worker(Path(scratch, f"worker-{i}"), command, given.seconds)
                   for i in range(given.workers if given.replay is None else 1)]
        results = _run_all(workers, schedule(chosen), numbers)
        seconds = time.monotonic() - start
    findings = [result for result in results if result["outcome"] in BROKEN]
    for result in findings if given.replay is None else results:
        case = make_input(result["number"], given.seed, valid, schedule(chosen))
        _save(result, case, given.findings / f"seed-{given.seed}")
    if given.replay is not None:
        print(f"{results[0]['entry_point']}: {results[0]['outcome']}\n{results[0]['message']}")
    counts = _counts(results, chosen)
    print(_table(counts))
    print(f"{len(results)} inputs, {len(findings)} findings" + (f", saved in {given.findings}" if findings else ""))
    if given.record:
        given.record.parent.mkdir(parents=True, exist_ok=True)
        limits = {"seconds": given.seconds, "MiB": {name: ENTRY_POINTS[name].memory for name in chosen}}
        record = {"command": f"python -m tests.torture.fuzz --inputs={given.inputs} --seed={given.seed}",
                  "inputs": len(results), "findings": len(findings), "seconds": round(seconds), "limits": limits,
                  "entry_points": counts}  # fmt: skip
        given.record.write_text(json.dumps(record, indent=2) + "\n")
    return 1 if findings else 0


def _seeds(scratch: Path, chosen: list[str]) -> dict[str, list[Tree]]:
    """Return the valid files by entry point, and write them to disk for the workers."""
    valid = {name: ENTRY_POINTS[name].seeds() for name in chosen}
    for name, trees in valid.items():
        for i, tree in enumerate(trees):
            write(tree, scratch / "seeds" / name / f"{i:04}")
    return valid


def _run_all(workers: list[Worker], names: list[str], numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Return the results of all inputs, sorted by number."""
    pending: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in numbers:
        pending.put(number)
    results: list[dict[str, Any]] = []
    with tqdm(total=len(numbers), unit="input", mininterval=2) as progress:
        def work(worker: Worker) -> None:
            try:
                while not pending.empty():
                    number = pending.get()
                    result = {"entry_point": names[number % len(names)], **worker.run_input(number)}
                    results.append(result)
                    progress.update()
                    if result["outcome"] in BROKEN:
                        last = result["message"].strip().splitlines()[-1:] or [""]
                        progress.write(f"{number} {result['entry_point']}: {result['outcome']}: {last[0][:160]}")
            finally:
                worker.end()

        threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if len(results) < len(numbers):
        raise SystemExit("a worker ended early")
    return sorted(results, key=lambda result: result["number"])


def _save(result: dict[str, Any], case: tuple[str, Tree], findings: Path) -> None:
    folder = findings / f"{result['number']:06}"
    shutil.rmtree(folder, ignore_errors=True)
    write(case[1], folder / "files")
    (folder / "report.txt").write_text(f"{case[0]}: {result['outcome']}\n{result['message']}\n")


def _counts(results: list[dict[str, Any]], chosen: list[str]) -> dict[str, dict[str, Any]]:
    counts = {}
    for name in chosen:
        selected = [result for result in results if result["entry_point"] == name]
        outcomes = Counter(result["outcome"] for result in selected)
        counts[name] = {"inputs": len(selected), **{outcome: outcomes[outcome] for outcome in FINE + BROKEN},
                        "slowest": round(max((result["seconds"] for result in selected), default=0), 2),
                        "peak": round(max((result["peak"] for result in selected), default=0))}  # fmt: skip
    return counts


def _table(counts: dict[str, dict[str, Any]]) -> str:
    sums, largest = ("inputs", *FINE, *BROKEN), ("slowest", "peak")
    total = {column: sum(row[column] for row in counts.values()) for column in sums}
    total |= {column: max(row[column] for row in counts.values()) for column in largest}
    columns = sums + largest
    lines = [" " * 28 + "".join(f"{column:>10}" for column in columns)]
    lines += [f"{name:28}" + "".join(f"{row[column]:>10}" for column in columns)
              for name, row in [*counts.items(), ("all", total)]]
    return "\n".join(lines) + "\nslowest in seconds, peak in MiB"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
