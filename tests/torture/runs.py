"""Kills, moves and damages runs of the real `python train.py`, and counts what is lost: nothing may be.

    python -m tests.torture.runs --kills=200 --terms=20 --seed=0

About an hour on two cores. Exit code 1 on any loss. `--parts` chooses; `--record` is written after every part and every
ten trials.
"""

import argparse
import json
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

os.environ["JAX_PLATFORMS"] = "cpu"  # before JAX starts: this process, which reads checkpoints, needs no accelerator

from mai_jax import checkpoint
from mai_jax.files import write_whole
from tests.torture import interruptions
from tests.torture.damage import Whole, cases, damages
from tests.torture.lives import Scene, shapes
from tests.torture.surroundings import surroundings, trial_count

Counts = dict[str, Any]


class Part(NamedTuple):
    total: Callable[[], int]
    run: Callable[[], Iterator[Counts]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--terms", type=int, default=20)
    parser.add_argument("--flips", type=int, default=5, help="bits flipped in each file of a checkpoint, one at a time")
    parser.add_argument("--steps", type=int, default=3000, help="of the uninterrupted run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", default="", help="some of memory, damage, surroundings, moves, terms, kills")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the counts as JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        parts = _parts(Scene(Path(scratch), given.steps), given)
        chosen = given.parts.split(",") if given.parts else list(parts)
        if unknown := set(chosen) - set(parts):
            parser.error(f"--parts: {', '.join(sorted(unknown))}: no such part; there are {', '.join(parts)}")
        record: Counts = {"command": _command(given), "machine": _machine(), "seconds": 0, "parts": {}}
        begin = time.monotonic()
        for name in chosen:
            for counts in _watched(name, parts[name]):
                record["parts"][name] = counts
                record["seconds"] = round(time.monotonic() - begin)
                _write(given.record, record)
    print(_table(record["parts"]))
    losses = [f"{name}: {line}" for name, counts in record["parts"].items() for line in counts["losses"]]
    print("\n".join(losses) or "nothing was lost")
    return 1 if losses else 0


def _parts(scene: Scene, given: argparse.Namespace) -> dict[str, Part]:
    def whole() -> Whole:
        workdir = scene.uninterrupted(scene.short)
        return Whole(workdir, shapes(checkpoint.Reader(workdir).config))

    return {
        "memory": Part(lambda: 2, lambda: interruptions.memory(scene)),
        "damage": Part(lambda: len(cases(whole().step, given.flips)),
                       lambda: damages(whole(), scene.scratch, given.flips, given.seed)),
        "surroundings": Part(lambda: trial_count(scene, given.seed), lambda: surroundings(scene, given.seed)),
        "moves": Part(lambda: len(interruptions.MOVES), lambda: interruptions.moves(scene)),
        "terms": Part(lambda: given.terms, lambda: interruptions.terms(scene, given.terms, given.seed)),
        "kills": Part(lambda: given.kills, lambda: interruptions.kills(scene, given.kills, given.seed)),
    }


def _watched(name: str, part: Part) -> Iterator[Counts]:
    """What is worth writing down: every count of a part with few trials, else every tenth, and the last."""
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
    about = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in about.splitlines() if line.startswith("model name")]
    return {"cpu": models[0] if models else platform.machine(), "cores": str(os.cpu_count()),
            "system": platform.system(), "python": platform.python_version(),
            "jax": version("jax"), "orbax": version("orbax-checkpoint")}  # fmt: skip


def _write(path: Path | None, record: Counts) -> None:
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(record, indent=2).encode() + b"\n")


def _table(parts: dict[str, Counts]) -> str:
    """Part, what was counted, losses."""
    rows = []
    for name, counts in parts.items():
        shown = {key: value for key, value in counts.items() if key != "losses"}
        for key, value in shown.items():
            inner = value.items() if isinstance(value, dict) else [("", value)]
            rows += [f"{name:14}{key:18}{what:44}{_short(how)}" for what, how in inner]
        rows.append(f"{name:14}{'losses':62}{len(counts['losses'])}")
    return "\n".join(rows)


def _short(value: Any) -> str:
    if isinstance(value, dict) and "outcome" in value:
        return f"{value['outcome']}; {len(value['losses'])} losses"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
