"""Feeds damaged and hostile files to everything that reads other people's files, and counts what becomes of them.

    python -m tests.torture.fuzz --inputs=10000 --seed=0

Every input follows from seed and number, so that `--replay=NUMBER` makes it again. What is promised: no input executes
anything, leaves its folder, takes more memory or time than the limits below, or raises anything but one clear line.
Exit code 1 if an input breaks the promise; it is kept under --findings.
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

from tests.torture.entrances import ENTRANCES, ROOT
from tests.torture.mutation import Tree
from tests.torture.worker import made, order, write

FINE = ("accepted", "refused")
BROKEN = ("unclear", "crashed", "hung", "memory", "forbidden")
START = 300.0  # of a worker


class Worker:
    """A process that tries inputs, started again when one ends it."""

    def __init__(self, place: Path, command: Sequence[str], seconds: float) -> None:
        place.mkdir()
        (place / "gs").write_text("#!/bin/sh\n")  # PostScript's interpreter, which an image library may find and start
        (place / "gs").chmod(0o755)
        self._seconds = seconds
        self._command = [*command, str(place)]
        self._place = place
        self._start()

    def _start(self) -> None:
        environment = os.environ | {"JAX_PLATFORMS": "cpu", "TMPDIR": str(self._place), "HF_HUB_OFFLINE": "1",
                                    "XLA_FLAGS": "--xla_backend_optimization_level=0",
                                    "PATH": f"{self._place}:{os.environ.get('PATH', '')}"}  # fmt: skip
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
                                         env=environment)
        if self._line(START) is None:
            raise SystemExit(f"a worker did not start:\n{self._chatter()}")

    def tried(self, number: int) -> dict[str, Any]:
        start = time.monotonic()
        self._process.stdin.write(f"{number}\n".encode())
        self._process.stdin.flush()
        line = self._line(self._seconds)
        if line is not None:
            return json.loads(line)
        hung = self._process.poll() is None and time.monotonic() - start >= self._seconds
        self.end()
        ended_by, said = self._process.returncode, self._chatter()
        self._start()
        return {"number": number, "outcome": "hung" if hung else "crashed", "seconds": time.monotonic() - start,
                "peak": 0.0, "said": said if hung else f"signal or exit code {ended_by}\n{said}"}

    def _line(self, seconds: float) -> str | None:
        """What it answers; None if it does not, or has ended."""
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        return (self._process.stdout.readline().decode() or None) if ready else None

    def _chatter(self) -> str:
        return (self._place / "chatter.txt").read_text(errors="replace")[-4000:]

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count()))
    parser.add_argument("--seconds", type=float, default=20, help="limit of one input; 20, for the machine may be busy")
    parser.add_argument("--entrances", default=",".join(ENTRANCES), help=f"some of: {', '.join(ENTRANCES)}")
    parser.add_argument("--replay", type=int, metavar="NUMBER", help="try this one input again, and show what it says")
    parser.add_argument("--findings", type=Path, default=Path("runs/torture/findings"), help="where they are kept")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the counts as JSON")
    given = parser.parse_args()
    chosen = given.entrances.split(",")
    with tempfile.TemporaryDirectory() as scratch:
        valid = _seeds(Path(scratch), chosen)
        numbers = range(given.inputs) if given.replay is None else [given.replay]
        start = time.monotonic()
        command = [sys.executable, "-B", "-m", "tests.torture.worker", str(given.seed), given.entrances]
        workers = [Worker(Path(scratch, f"worker-{i}"), command, given.seconds)
                   for i in range(given.workers if given.replay is None else 1)]
        results = _all(workers, order(chosen), numbers)
        seconds = time.monotonic() - start
    findings = [result for result in results if result["outcome"] in BROKEN]
    for result in findings if given.replay is None else results:
        _keep(result, made(result["number"], given.seed, valid, order(chosen)), given.findings / f"seed-{given.seed}")
    if given.replay is not None:
        print(f"{results[0]['entrance']}: {results[0]['outcome']}\n{results[0]['said']}")
    counts = _counts(results, chosen)
    print(_table(counts))
    print(f"{len(results)} inputs, {len(findings)} findings" + (f", kept in {given.findings}" if findings else ""))
    if given.record:
        given.record.parent.mkdir(parents=True, exist_ok=True)
        limits = {"seconds": given.seconds, "MiB": {name: ENTRANCES[name].memory for name in chosen}}
        record = {"command": f"python -m tests.torture.fuzz --inputs={given.inputs} --seed={given.seed}",
                  "inputs": len(results), "findings": len(findings), "seconds": round(seconds), "limits": limits,
                  "entrances": counts}  # fmt: skip
        given.record.write_text(json.dumps(record, indent=2) + "\n")
    return 1 if findings else 0


def _seeds(scratch: Path, chosen: list[str]) -> dict[str, list[Tree]]:
    """The valid files, also on disk for the workers."""
    valid = {name: ENTRANCES[name].seeds() for name in chosen}
    for name, trees in valid.items():
        for i, tree in enumerate(trees):
            write(tree, scratch / "seeds" / name / f"{i:04}")
    return valid


def _all(workers: list[Worker], names: list[str], numbers: Sequence[int]) -> list[dict[str, Any]]:
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in numbers:
        waiting.put(number)
    results: list[dict[str, Any]] = []
    with tqdm(total=len(numbers), unit="input", mininterval=2) as progress:
        def work(worker: Worker) -> None:
            try:
                while not waiting.empty():
                    number = waiting.get()
                    results.append({"entrance": names[number % len(names)], **worker.tried(number)})
                    progress.update()
                    if results[-1]["outcome"] in BROKEN:
                        last = results[-1]["said"].strip().splitlines()[-1:] or [""]
                        progress.write(f"{number} {results[-1]['entrance']}: {results[-1]['outcome']}: {last[0][:160]}")
            finally:
                worker.end()

        threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if len(results) < len(numbers):
        raise SystemExit("a worker could not go on")
    return sorted(results, key=lambda result: result["number"])


def _keep(result: dict[str, Any], case: tuple[str, Tree], findings: Path) -> None:
    folder = findings / f"{result['number']:06}"
    shutil.rmtree(folder, ignore_errors=True)
    write(case[1], folder / "files")
    (folder / "report.txt").write_text(f"{case[0]}: {result['outcome']}\n{result['said']}\n")


def _counts(results: list[dict[str, Any]], chosen: list[str]) -> dict[str, dict[str, Any]]:
    counts = {}
    for name in chosen:
        own = [result for result in results if result["entrance"] == name]
        outcomes = Counter(result["outcome"] for result in own)
        counts[name] = {"inputs": len(own), **{outcome: outcomes[outcome] for outcome in FINE + BROKEN},
                        "slowest": round(max((result["seconds"] for result in own), default=0), 2),
                        "peak": round(max((result["peak"] for result in own), default=0))}  # fmt: skip
    return counts


def _table(counts: dict[str, dict[str, Any]]) -> str:
    sums, largest = ("inputs", *FINE, *BROKEN), ("slowest", "peak")
    total = {head: sum(row[head] for row in counts.values()) for head in sums}
    total |= {head: max(row[head] for row in counts.values()) for head in largest}
    heads = sums + largest
    lines = [" " * 28 + "".join(f"{head:>10}" for head in heads)]
    lines += [f"{name:28}" + "".join(f"{row[head]:>10}" for head in heads)
              for name, row in [*counts.items(), ("all", total)]]
    return "\n".join(lines) + "\nslowest in seconds, peak in MiB"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
