"""Runs that are killed, stopped by signals, or moved to other devices: they must end as uninterrupted runs.

Each part yields its counts after every trial; `losses` lists what was lost, one line each.
"""

import random
import shutil
import signal
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mai_jax.training import checkpointing
from tests.real_runs import last_step, logged
from tests.torture.run_process import SAVE_EVERY, RunProcess, Workspace, unreadable

Counts = dict[str, Any]
MAX_GROWTH = 0.01  # allowed relative growth of the memory from a third of the run to its end
SAVE_RARELY = 500  # steps between saves, to separate the known leak of each save (docs/reliability.md) from others
MAX_LIFETIME = 1.4  # longest lifetime before a kill, in multiples of the start time
MOVES = ((1, 1), (1, 8), (1, 4), (2, 2), (4, 1), (1, 1))  # (processes, devices of each)
STEPS_PER_MOVE = 40
COMPARED = 20  # steps after a move whose scalars are compared
TOLERANCE = 1e-3  # allowed relative difference of the scalars in those steps


def memory(workspace: Workspace) -> Iterator[Counts]:
    """Measure the resident memory of two runs: one that saves rarely, and the uninterrupted run used as reference."""
    counts = {"steps": sum(workspace.long), "saving_every": {}, "losses": []}
    for save_every in (SAVE_RARELY, SAVE_EVERY):
        workdir = workspace.new_folder()
        with workspace.start(workdir, workspace.long, f"--config.run.save_every={save_every}") as process:
            sizes = _sizes(process)
        if process.end() != 0:
            counts["losses"].append(f"exit code {process.end()}: {workspace.without_paths(process.text)[-300:]}")
            continue
        if save_every == SAVE_EVERY:
            workspace.finished[workspace.long] = workdir
        counts["saving_every"][str(save_every)] = grown = _growth(sizes, counts["steps"])
        if save_every == SAVE_RARELY and grown and grown["growth"] > MAX_GROWTH:
            counts["losses"].append(f"memory grew by {grown['growth']:.1%}")
        yield counts


def _sizes(process: RunProcess) -> list[tuple[int, int]]:
    """Return pairs of step and resident bytes until the process ends."""
    sizes = []
    while process.running:
        step, resident = process.step, process.resident
        if step and resident:
            sizes.append((step, resident))
        time.sleep(0.2)
    return sizes


def _growth(sizes: list[tuple[int, int]], total: int) -> Counts:
    """Return the growth of the median from the tenth of the run after its first third to its last tenth.

    Empty if there are no samples.
    """
    early, late = ([size for step, size in sizes if begin <= step <= begin + total / 10]
                   for begin in (total / 3, 0.9 * total))
    if not early or not late:
        return {}
    first, last = statistics.median(early), statistics.median(late)
    return {"mib": round(first / 2**20, 1), "growth": last / first - 1, "samples": len(sizes)}


def kills(workspace: Workspace, count: int, seed: int) -> Iterator[Counts]:
    """Send SIGKILL at random moments, at most MAX_LIFETIME times the start time after the start."""
    moments, start, workdir = random.Random(f"kills {seed}"), _start(workspace), workspace.new_folder()
    during = Counter()
    counts = {"kills": 0, "start_seconds": start, "during": {}, "finished": 0, "max_repeated_steps": 0, "losses": []}
    while counts["kills"] < count:
        before = _newest(workdir)
        with workspace.start(workdir, workspace.long) as process:
            first = process.wait_until_age(moments.uniform(0, MAX_LIFETIME * start))
            ended = not process.running
            if not ended:
                process.end(signal.SIGKILL)
        if ended:  # all steps were done before the kill
            counts["finished"] += 1
            counts["losses"] += _end(workspace, workdir, process)
            workdir = workspace.new_folder()
            continue
        start = 0.7 * start + 0.3 * first if first else start  # follows the load of the machine
        counts["kills"] += 1
        during[_moment(process, workdir)] += 1
        repeated = last_step(workdir) - _newest(workdir)
        counts |= {"during": dict(during), "max_repeated_steps": max(repeated, counts["max_repeated_steps"])}
        counts["losses"] += [f"kill {counts['kills']}: {line}" for line in unreadable(workdir)]
        if _newest(workdir) < before:
            counts["losses"].append(f"kill {counts['kills']}: checkpoint {before} is gone")
        yield counts
    yield counts | _finish(workspace, workdir, counts)


def terms(workspace: Workspace, count: int, seed: int) -> Iterator[Counts]:
    """Send SIGTERM at random moments within four seconds after the compilation of the first step has started."""
    moments, workdir = random.Random(f"terms {seed}"), workspace.new_folder()
    counts = {"terms": 0, "exit_0": 0, "saved_last": 0, "seconds": [], "finished": 0, "losses": []}
    while counts["terms"] < count:
        with workspace.start(workdir, workspace.long) as process:
            process.wait_for(words="compiling")
            process.wait_until_age(time.monotonic() - process.started + moments.uniform(0, 4))
            sent = time.monotonic()
            code = process.end(signal.SIGTERM) if process.running else None
            took = time.monotonic() - sent
        if f"all {sum(workspace.long)} steps are done" in process.text:
            counts["finished"] += 1
            counts["losses"] += _end(workspace, workdir, process)
            workdir = workspace.new_folder()
            continue
        saved, reached = _newest(workdir), last_step(workdir)
        counts["terms"] += 1
        counts["exit_0"] += code == 0
        counts["saved_last"] += saved == reached and f"SIGTERM at step {saved}: saved" in process.text
        counts["seconds"].append(round(took, 2))
        if code != 0 or saved != reached:
            counts["losses"].append(f"SIGTERM {counts['terms']}: exit code {code}, {saved} saved of {reached} steps")
        counts["losses"] += unreadable(workdir)
        yield counts
    yield counts | _finish(workspace, workdir, counts)


def moves(workspace: Workspace) -> Iterator[Counts]:
    """Send SIGTERM, then resume with another number of devices or processes.

    Each is compared, for a few steps, with a copy that resumes from the same checkpoint on one device: differences in
    rounding grow with the steps.
    """
    phases, workdir = (len(MOVES) * STEPS_PER_MOVE, 0), workspace.new_folder()
    counts = {"moves": [], "losses": []}
    for number, (processes, devices) in enumerate(MOVES, 1):
        at, target = _newest(workdir), f"{processes} x {devices}"
        unmoved = _unmoved(workspace, workdir, phases, at) if at else []
        started = workspace.start_all(workdir, phases, processes, devices)
        if number < len(MOVES) and started[0].wait_for(step=number * STEPS_PER_MOVE):
            started[-1].popen.send_signal(signal.SIGTERM)
        codes = [process.end() for process in started]
        if set(codes) != {0}:
            output = workspace.without_paths(started[0].text)
            counts["losses"].append(f"{target}: exit codes {codes}: {output[-300:]}")
        if at and f"checkpoints/{at}\n" not in started[0].text:
            counts["losses"].append(f"{target}: did not resume from step {at}")
        counts["losses"] += unreadable(workdir)
        if at:
            differences = [_difference(*pair) for pair in zip(logged(workdir)[at:], unmoved, strict=False)]
            moved = {"to": target, "at": at, "first": max(differences[:1], default=None),
                     "most": max(differences, default=None)}  # fmt: skip
            counts["moves"].append(moved)
            if len(differences) < COMPARED or max(differences) > TOLERANCE:
                counts["losses"].append(f"{moved}: not the scalars of the copy on one device")
        yield counts
    trained = [line["step"] for line in logged(workdir) if "hole_ratio" in line]  # without lines of the validation
    if trained != list(range(1, sum(phases) + 1)):
        counts["losses"].append("steps are missing or repeated in the log")
    yield counts


def _unmoved(workspace: Workspace, workdir: Path, phases: tuple[int, int], at: int) -> list[dict[str, float]]:
    """Return the log of a copy of the run on one device for the steps after `at`."""
    copy = workspace.new_folder()
    shutil.copytree(workdir, copy)
    with workspace.start(copy, phases) as process:
        process.wait_for(step=at + COMPARED)
        process.end(signal.SIGTERM)
    return logged(copy)[at : at + COMPARED]


def _start(workspace: Workspace) -> float:
    """Return the seconds from the start of the command to its first step, with all programs in the cache."""
    workspace.uninterrupted(workspace.long)
    with workspace.start(workspace.new_folder(), workspace.long) as process:
        process.wait_for(step=1)
        return time.monotonic() - process.started


def _moment(process: RunProcess, workdir: Path) -> str:
    """Return what a killed run was doing."""
    if not process.step:
        return "preparing its first step" if "compiling" in process.text else "starting"
    saving = any((workdir / checkpointing.FOLDER).glob("*.orbax-checkpoint-tmp*"))
    return "saving" if saving else "stepping"


def _finish(workspace: Workspace, workdir: Path, counts: Counts) -> Counts:
    """Let the last run finish. Return the counts that change; its result must equal the uninterrupted run."""
    with workspace.start(workdir, workspace.long) as process:
        process.end()
    return {"finished": counts["finished"] + 1, "losses": counts["losses"] + _end(workspace, workdir, process)}


def _end(workspace: Workspace, workdir: Path, process: RunProcess) -> list[str]:
    code = process.end()
    if code != 0:
        return [f"exit code {code}: {workspace.without_paths(process.text)[-300:]}"]
    return workspace.differences(workdir, workspace.long)


def _newest(workdir: Path) -> int:
    return max(checkpointing.steps(workdir), default=0)


def _difference(a: dict[str, float], b: dict[str, float]) -> float:
    """Return the largest relative difference of two lines of the log."""
    return max(abs(a[name] - b[name]) / max(abs(a[name]), abs(b[name]), 1e-30) for name in a)
