"""What the machine does to a run: disks that are full or read-only, clocks that jump, a second run, torn programs.

Each trial says what the user sees, and lists what was lost: nothing may be, and the same command must go on to the end
of the uninterrupted run.
"""

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mai_jax import checkpoint
from tests.torture.damage import Case
from tests.torture.lives import POLL, SAVE_EVERY, Life, Scene, unreadable

Row = dict[str, Any]
NEEDS_ROOT = {"outcome": "not tried here: needs root, to mount a small disk", "losses": []}
DISK = 100  # MiB
DAY = 86400
# `time.time` is a day back from one call on, and a month ahead from a later one. A step calls it some three times.
CLOCK = f"""if True:
    import itertools, runpy, sys, time
    calls, real, sys.path[0] = itertools.count(), time.time, ""
    def jumping():
        call = next(calls)
        return real() + (0 if call < 60 else {-DAY} if call < 120 else {30 * DAY})
    time.time = jumping
    time.time_ns = lambda: int(jumping() * 1e9)
    sys.argv[0] = "train.py"
    runpy.run_path("train.py", run_name="__main__")
"""


def surroundings(scene: Scene, seed: int) -> Iterator[dict[str, Any]]:
    """All trials, and the damages of checkpoints again, by the command itself."""
    rng = random.Random(f"surroundings {seed}")
    rows: dict[str, Row] = {}
    for name, trial in _trials(scene, rng, seed).items():
        rows[name] = trial()
        yield {"trials": rows, "losses": [f"{name}: {line}" for name, row in rows.items() for line in row["losses"]]}


def _trials(scene: Scene, rng: random.Random, seed: int) -> dict[str, Callable[[], Row]]:
    done = scene.uninterrupted(scene.short)
    newest = Path(done, checkpoint.FOLDER, str(checkpoint.steps(done)[-1]))
    by_size = sorted((path for path in newest.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    data, root = by_size[-1].relative_to(newest), Path()
    cases = [Case("truncated file", data, 0), Case("deleted file", data, 0), Case("flipped bit", data, 0),
             Case("empty step folder", root, 0), Case("half of the files deleted", root, 0)]  # fmt: skip
    trials: dict[str, Callable[[], Row]] = {
        case.kind: lambda case=case: _damaged(scene, case, seed) for case in cases
    }
    trials["disk full at a start"] = lambda: _disk(scene, _fill(0))
    for left in (0, 4096, rng.randrange(1 << 16, 1 << 20)):
        trials[f"disk fills in mid-run, {left:,} bytes left"] = lambda left=left: _disk(scene, _fill(left), "20")
    trials["disk fills while a checkpoint is written"] = lambda: _disk(scene, _fill(0), "40.orbax-checkpoint-tmp")
    trials["disk read-only at a start"] = lambda: _disk(scene, _read_only)
    trials["clock a day back, then a month ahead"] = lambda: _clock(scene)
    trials["second run in the folder"] = lambda: _second(scene)
    trials["compiled programs cut short"] = lambda: _torn_programs(scene)
    return trials


def trial_count(scene: Scene, seed: int) -> int:
    return len(_trials(scene, random.Random(), seed))


def _refused(scene: Scene, life: Life, words: Sequence[str]) -> Row:
    """A start that must end with one clear line that holds one of the `words`."""
    code, said = life.end(), scene.plain(life.said)
    lines = said.splitlines()
    begin = next((i for i, line in enumerate(lines) if line.startswith("error: ")), len(lines))
    losses = []
    if code != 1:
        losses.append(f"exit code {code}")
    if lines[begin + 1:] or "Traceback" in said or not any(word in said for word in words):
        losses.append(f"not one clear line: {said[-600:]}")
    line = lines[begin] if begin < len(lines) else ""
    return {"outcome": "named", "said": line.replace(socket.gethostname(), "HOST"), "exit": code, "losses": losses}


def _goes_on(scene: Scene, workdir: Path) -> list[str]:
    """The same command, to the end of the uninterrupted run."""
    with scene.life(workdir, scene.short) as life:
        code = life.end()
    if code != 0:
        return [f"the same command ended with exit code {code}: {scene.plain(life.said)[-600:]}"]
    return scene.not_as_uninterrupted(workdir, scene.short)


def _damaged(scene: Scene, case: Case, seed: int) -> Row:
    workdir = scene.fresh()
    shutil.copytree(scene.uninterrupted(scene.short), workdir)
    step = workdir / checkpoint.FOLDER / str(checkpoint.steps(workdir)[-1])
    case.inflict(step, seed)
    with scene.life(workdir, scene.short) as life:
        row = _refused(scene, life, ["damaged checkpoint"])
    step.rename(workdir / f"damaged-{step.name}")  # as it says
    return row | {"losses": row["losses"] + unreadable(workdir) + _goes_on(scene, workdir)}


def _disk(scene: Scene, spoil: Callable[[Path], Callable[[], None]], when: str = "") -> Row:
    """A run whose disk is spoilt as soon as it holds the folder `when`, or between two starts."""
    mounted = scene.fresh()
    with contextlib.ExitStack() as entered:
        if not _mounted(mounted, entered):
            return NEEDS_ROOT
        workdir = mounted / "run"
        with scene.life(workdir, scene.short) as life:
            while life.going and not Path(workdir, checkpoint.FOLDER, when or "20").exists():
                time.sleep(POLL)
            if when:
                mend = spoil(mounted)
                row = _refused(scene, life, [f"{mounted.name}/run"])
            else:
                life.end(signal.SIGTERM)
                mend = spoil(mounted)
        if not when:
            with scene.life(workdir, scene.short) as life:
                row = _refused(scene, life, [f"{mounted.name}/run"])
        kept = unreadable(workdir) + ([] if checkpoint.steps(workdir) else ["no checkpoint is left"])
        mend()
        return row | {"losses": row["losses"] + kept + _goes_on(scene, workdir)}


def _mounted(folder: Path, entered: contextlib.ExitStack) -> bool:
    """Mounts a small disk there. False where that is not allowed."""
    if os.name != "posix" or os.geteuid() != 0 or not shutil.which("mount"):
        return False
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "tmpfs", folder], capture_output=True)
    if made.returncode == 0:
        entered.callback(subprocess.run, ["umount", folder], check=True)
    return made.returncode == 0


def _fill(left: int) -> Callable[[Path], Callable[[], None]]:
    """Leaves that many bytes on the disk."""
    def spoil(folder: Path) -> Callable[[], None]:
        ballast = folder / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:  # until there is no room for a single byte
                file.write(bytes(1 << 20))
        with ballast.open("r+b") as file:
            file.truncate(max(0, ballast.stat().st_size - left))
        return ballast.unlink

    return spoil


def _read_only(folder: Path) -> Callable[[], None]:
    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", folder], check=True)

    remount("ro")
    return lambda: remount("rw")


def _clock(scene: Scene) -> Row:
    """In the middle of the run, which is then told to end, and goes on with another such clock."""
    workdir, losses = scene.fresh(), []
    for step in (SAVE_EVERY * 3 // 2, sum(scene.short)):
        with scene.life(workdir, scene.short, program=("-c", CLOCK)) as life:
            life.wait_for(step=step)
            if (code := life.end(signal.SIGTERM if step < sum(scene.short) and life.going else None)) != 0:
                losses.append(f"exit code {code}: {scene.plain(life.said)[-600:]}")
    times = [json.loads(line)["wall_time"] for line in (workdir / "log.jsonl").read_text().splitlines()]
    jumps = [later - earlier for earlier, later in itertools.pairwise(times)]
    if not (min(jumps) < -0.9 * DAY and max(jumps) > 30 * DAY):
        losses.append("the clock did not jump while the run went on")
    return {"outcome": "unharmed", "said": "", "exit": code,
            "losses": losses + scene.not_as_uninterrupted(workdir, scene.short)}  # fmt: skip


def _second(scene: Scene) -> Row:
    workdir = scene.fresh()
    with scene.life(workdir, scene.short) as first:
        first.wait_for(step=1)
        first.process.send_signal(signal.SIGSTOP)  # so that it is still there, however slowly the second starts
        with scene.life(workdir, scene.short) as second:
            row = _refused(scene, second, [f"process {first.process.pid} on {socket.gethostname()}"])
        first.process.send_signal(signal.SIGCONT)
        code = first.end()
    row["said"] = row["said"].replace(f"process {first.process.pid} ", "process PID ")
    wrong = [] if code == 0 else [f"the first run ended with exit code {code}"]
    return row | {"losses": row["losses"] + wrong + scene.not_as_uninterrupted(workdir, scene.short)}


def _torn_programs(scene: Scene) -> Row:
    """As a SIGKILL leaves one that was being written to the cache of compiled programs."""
    cache, workdir = scene.fresh(), scene.fresh()
    shutil.copytree(scene.cache, cache)
    for program in cache.glob("*-cache"):
        program.write_bytes(program.read_bytes()[: program.stat().st_size // 2])
    with scene.life(workdir, scene.short, cache=cache) as life:
        code = life.end()
    if code != 0:
        return {"outcome": "", "said": "", "exit": code, "losses": [scene.plain(life.said)[-600:]]}
    return {"outcome": "unharmed", "said": "", "exit": code,
            "losses": scene.not_as_uninterrupted(workdir, scene.short)}  # fmt: skip
