"""Kill, move and damage runs of the real `python train.py`, and count losses: nothing may be lost.

    python -m tests.torture.runs --kills=200 --terms=20 --seed=0

Takes about an hour on two cores. Exit code 1 on any loss. `--parts` selects parts; `--record` is written after every
part and every ten trials.
"""

import argparse
import json
import math
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

os.environ["JAX_PLATFORMS"] = "cpu"  # before JAX starts: this process only reads checkpoints

from mai_jax.files import write_atomically
from mai_jax.training import checkpointing
from tests.torture import interruptions
from tests.torture.damage import IntactRun, cases, damages
from tests.torture.environments import run_trials, trial_count
from tests.torture.run_process import Workspace, archive_of_noise, shapes

Counts = dict[str, Any]


class Part(NamedTuple):
    """A part of the test: its number of trials, and the trials, which yield counts."""

    total: Callable[[], int]
    run: Callable[[], Iterator[Counts]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="and a tenth of them with photographs of an archive")
    parser.add_argument("--terms", type=int, default=20)
    parser.add_argument("--flips", type=int, default=5, help="bits flipped in each file of a checkpoint, one at a time")
    parser.add_argument("--steps", type=int, default=3000, help="of the uninterrupted run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", default="", help="some of memory, damage, environment, moves, terms, archive, kills")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the counts as JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        parts = _parts(Workspace(Path(scratch), given.steps), given)
        chosen = given.parts.split(",") if given.parts else list(parts)
        if unknown := set(chosen) - set(parts):
            parser.error(f"--parts: {', '.join(sorted(unknown))}: no such part; give some of {', '.join(parts)}")
        record: Counts = {"command": _command(given), "machine": _machine(), "seconds": 0, "parts": {}}
        begin = time.monotonic()
        for name in chosen:
            for counts in _with_progress(name, parts[name]):
                record["parts"][name] = counts
                record["seconds"] = round(time.monotonic() - begin)
                _write(given.record, record)
    print(_table(record["parts"]))
    losses = [f"{name}: {line}" for name, counts in record["parts"].items() for line in counts["losses"]]
    print("\n".join(losses) or "nothing was lost")
    return 1 if losses else 0


def _parts(workspace: Workspace, given: argparse.Namespace) -> dict[str, Part]:
    def intact() -> IntactRun:
        workdir = workspace.uninterrupted(workspace.short)
        return IntactRun(workdir, shapes(checkpointing.CheckpointReader(workdir).config))

    flags, few = archive_of_noise(workspace.scratch / "archive" / "photographs.zip"), math.ceil(given.kills / 10)
    archive = Workspace(workspace.scratch / "archive", given.steps, flags)
    return {
        "memory": Part(lambda: 2, lambda: interruptions.memory(workspace)),
        "damage": Part(lambda: len(cases(intact().step, given.flips)),
                       lambda: damages(intact(), workspace.scratch, given.flips, given.seed)),
        "environment": Part(lambda: trial_count(workspace, given.seed), lambda: run_trials(workspace, given.seed)),
        "moves": Part(lambda: len(interruptions.MOVES), lambda: interruptions.moves(workspace)),
        "terms": Part(lambda: given.terms, lambda: interruptions.terms(workspace, given.terms, given.seed)),
        "archive": Part(lambda: few, lambda: interruptions.kills(archive, few, given.seed)),
        "kills": Part(lambda: given.kills, lambda: interruptions.kills(workspace, given.kills, given.seed)),
    }


def _with_progress(name: str, part: Part) -> Iterator[Counts]:
    """Yield the counts of every trial of a part with few trials, else of every tenth, and of the last."""
    counts: Counts | None = None
    with tqdm(total=part.total(), desc=name, mininterval=2) as progress:
        for counts in part.run():
            progress.update(progress.n < progress.total)
            progress.set_postfix(losses=len(counts["losses"]))
            if progress.n % 10 == 0 or progress.total < 50:
                yield counts
    if counts is not None:
        yield counts


def _command(given: argparse.Namespace) -> str:
    chosen = f" --parts={given.parts}" if given.parts else ""
    return f"python -m tests.torture.runs --kills={given.kills} --terms={given.terms} --seed={given.seed}{chosen}"


def _machine() -> dict[str, str]:
    cpuinfo = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    return {"cpu": models[0] if models else platform.machine(), "cores": str(os.cpu_count()),
            "system": platform.system(), "python": platform.python_version(),
            "jax": version("jax"), "orbax": version("orbax-checkpoint")}  # fmt: skip


def _write(path: Path | None, record: Counts) -> None:
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(record, indent=2).encode() + b"\n")


def _table(parts: dict[str, Counts]) -> str:
    """Return a table of parts, counts and losses."""
    rows = []
    for name, counts in parts.items():
        columns = {key: value for key, value in counts.items() if key != "losses"}
        for key, value in columns.items():
            inner = value.items() if isinstance(value, dict) else [("", value)]
            rows += [f"{name:14}{key:20}{label:44}{_short(count)}" for label, count in inner]
        rows.append(f"{name:14}{'losses':64}{len(counts['losses'])}")
    return "\n".join(rows)


def _short(value: Any) -> str:
    if isinstance(value, dict) and "outcome" in value:
        return f"{value['outcome']}; {len(value['losses'])} losses"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
