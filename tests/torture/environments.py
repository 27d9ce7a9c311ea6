"""Faults of the environment of a run: full and read-only disks, clock jumps, a second run, truncated cache files.

Each trial records the message that the user sees and lists losses. Nothing may be lost, and the same command must
resume and end as the uninterrupted run.
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

from mai_jax.training import checkpointing
from tests.torture.damage import Case
from tests.torture.run_process import POLL, SAVE_EVERY, RunProcess, Workspace, unreadable

Row = dict[str, Any]
NEEDS_ROOT = {"outcome": "not run: needs root to mount a small disk", "losses": []}
DISK = 100  # MiB
DAY = 86400
# `time.time` jumps a day back, and later a month ahead. A step calls it about three times.
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


def run_trials(workspace: Workspace, seed: int) -> Iterator[dict[str, Any]]:
    """Run all trials, and damages of checkpoints with the real command. Yield the rows after each."""
    rng = random.Random(f"environment {seed}")
    rows: dict[str, Row] = {}
    for name, trial in _trials(workspace, rng, seed).items():
        rows[name] = trial()
        yield {"trials": rows, "losses": [f"{name}: {line}" for name, row in rows.items() for line in row["losses"]]}


def _trials(workspace: Workspace, rng: random.Random, seed: int) -> dict[str, Callable[[], Row]]:
    done = workspace.uninterrupted(workspace.short)
    newest = Path(done, checkpointing.FOLDER, str(checkpointing.steps(done)[-1]))
    by_size = sorted((path for path in newest.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    data, root = by_size[-1].relative_to(newest), Path()
    cases = [Case("truncated file", data, 0), Case("deleted file", data, 0), Case("flipped bit", data, 0),
             Case("empty step folder", root, 0), Case("half of the files deleted", root, 0)]  # fmt: skip
    trials: dict[str, Callable[[], Row]] = {
        case.kind: lambda case=case: _damaged(workspace, case, seed) for case in cases
    }
    trials["disk full at a start"] = lambda: _disk(workspace, _fill(0))
    for left in (0, 4096, rng.randrange(1 << 16, 1 << 20)):
        trials[f"disk fills in mid-run, {left:,} bytes left"] = lambda left=left: _disk(workspace, _fill(left), "20")
    trials["disk fills while a checkpoint is written"] = lambda: _disk(workspace, _fill(0), "40.orbax-checkpoint-tmp")
    trials["disk read-only at a start"] = lambda: _disk(workspace, _read_only)
    trials["clock a day back, then a month ahead"] = lambda: _clock(workspace)
    trials["second run in the folder"] = lambda: _second(workspace)
    trials["compiled programs truncated"] = lambda: _truncated_programs(workspace)
    return trials


def trial_count(workspace: Workspace, seed: int) -> int:
    return len(_trials(workspace, random.Random(), seed))


def _refused(workspace: Workspace, process: RunProcess, words: Sequence[str]) -> Row:
    """Wait for the process, which must fail with one clear line that contains one of the `words`."""
    code, output = process.end(), workspace.without_paths(process.text)
    lines = output.splitlines()
    begin = next((i for i, line in enumerate(lines) if line.startswith("error: ")), len(lines))
    losses = []
    if code != 1:
        losses.append(f"exit code {code}")
    if lines[begin + 1:] or "Traceback" in output or not any(word in output for word in words):
        losses.append(f"not one clear line: {output[-600:]}")
    line = lines[begin] if begin < len(lines) else ""
    return {"outcome": "named", "message": line.replace(socket.gethostname(), "HOST"), "exit": code, "losses": losses}


def _resume(workspace: Workspace, workdir: Path) -> list[str]:
    """Run the same command to its end. Return the losses."""
    with workspace.start(workdir, workspace.short) as process:
        code = process.end()
    if code != 0:
        return [f"the same command ended with exit code {code}: {workspace.without_paths(process.text)[-600:]}"]
    return workspace.differences(workdir, workspace.short)


def _damaged(workspace: Workspace, case: Case, seed: int) -> Row:
    workdir = workspace.new_folder()
    shutil.copytree(workspace.uninterrupted(workspace.short), workdir)
    step = workdir / checkpointing.FOLDER / str(checkpointing.steps(workdir)[-1])
    case.apply(step, seed)
    with workspace.start(workdir, workspace.short) as process:
        row = _refused(workspace, process, ["damaged checkpoint"])
    step.rename(workdir / f"damaged-{step.name}")  # as the error says
    return row | {"losses": row["losses"] + unreadable(workdir) + _resume(workspace, workdir)}


def _disk(workspace: Workspace, break_disk: Callable[[Path], Callable[[], None]], when: str = "") -> Row:
    """Break the disk of a run as soon as the folder `when` exists on it, or between two starts if `when` is empty.

    `break_disk` returns the function that repairs the disk.
    """
    mounted = workspace.new_folder()
    with contextlib.ExitStack() as entered:
        if not _mounted(mounted, entered):
            return NEEDS_ROOT
        workdir = mounted / "run"
        with workspace.start(workdir, workspace.short) as process:
            while process.running and not Path(workdir, checkpointing.FOLDER, when or "20").exists():
                time.sleep(POLL)
            if when:
                repair = break_disk(mounted)
                row = _refused(workspace, process, [f"{mounted.name}/run"])
            else:
                process.end(signal.SIGTERM)
                repair = break_disk(mounted)
        if not when:
            with workspace.start(workdir, workspace.short) as process:
                row = _refused(workspace, process, [f"{mounted.name}/run"])
        losses = unreadable(workdir) + ([] if checkpointing.steps(workdir) else ["no checkpoint is left"])
        repair()
        return row | {"losses": row["losses"] + losses + _resume(workspace, workdir)}


def _mounted(folder: Path, entered: contextlib.ExitStack) -> bool:
    """Mount a small disk at `folder` until `entered` is left. Return False if that is not possible."""
    if os.name != "posix" or os.geteuid() != 0 or not shutil.which("mount"):
        return False
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "tmpfs", folder], capture_output=True)
    if done.returncode == 0:
        entered.callback(subprocess.run, ["umount", folder], check=True)
    return done.returncode == 0


def _fill(left: int) -> Callable[[Path], Callable[[], None]]:
    """Return a function that leaves `left` bytes free on the disk."""
    def break_disk(folder: Path) -> Callable[[], None]:
        ballast = folder / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:  # until there is no room for a single byte
                file.write(bytes(1 << 20))
        with ballast.open("r+b") as file:
            file.truncate(max(0, ballast.stat().st_size - left))
        return ballast.unlink

    return break_disk


def _read_only(folder: Path) -> Callable[[], None]:
    def remount(mode: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{mode}", folder], check=True)

    remount("ro")
    return lambda: remount("rw")


def _clock(workspace: Workspace) -> Row:
    """Make the clock jump during a run, and again after it was stopped by a signal and resumed."""
    workdir, losses = workspace.new_folder(), []
    for step in (SAVE_EVERY * 3 // 2, sum(workspace.short)):
        with workspace.start(workdir, workspace.short, program=("-c", CLOCK)) as process:
            process.wait_for(step=step)
            if (code := process.end(signal.SIGTERM if step < sum(workspace.short) and process.running else None)) != 0:
                losses.append(f"exit code {code}: {workspace.without_paths(process.text)[-600:]}")
    times = [json.loads(line)["wall_time"] for line in (workdir / "log.jsonl").read_text().splitlines()]
    jumps = [later - earlier for earlier, later in itertools.pairwise(times)]
    if not (min(jumps) < -0.9 * DAY and max(jumps) > 30 * DAY):
        losses.append("the clock did not jump during the run")
    return {"outcome": "unharmed", "message": "", "exit": code,
            "losses": losses + workspace.differences(workdir, workspace.short)}  # fmt: skip


def _second(workspace: Workspace) -> Row:
    workdir = workspace.new_folder()
    with workspace.start(workdir, workspace.short) as first:
        first.wait_for(step=1)
        first.popen.send_signal(signal.SIGSTOP)  # so that it does not end before the second starts
        with workspace.start(workdir, workspace.short) as second:
            row = _refused(workspace, second, [f"process {first.popen.pid} on {socket.gethostname()}"])
        first.popen.send_signal(signal.SIGCONT)
        code = first.end()
    row["message"] = row["message"].replace(f"process {first.popen.pid} ", "process PID ")
    failed = [] if code == 0 else [f"the first run ended with exit code {code}"]
    return row | {"losses": row["losses"] + failed + workspace.differences(workdir, workspace.short)}


def _truncated_programs(workspace: Workspace) -> Row:
    """Truncate all files of the compilation cache, as a SIGKILL during a write may do."""
    cache, workdir = workspace.new_folder(), workspace.new_folder()
    shutil.copytree(workspace.cache, cache)
    for program in cache.glob("*-cache"):
        program.write_bytes(program.read_bytes()[: program.stat().st_size // 2])
    with workspace.start(workdir, workspace.short, cache=cache) as process:
        code = process.end()
    if code != 0:
        return {"outcome": "", "message": "", "exit": code, "losses": [workspace.without_paths(process.text)[-600:]]}
    return {"outcome": "unharmed", "message": "", "exit": code,
            "losses": workspace.differences(workdir, workspace.short)}  # fmt: skip
