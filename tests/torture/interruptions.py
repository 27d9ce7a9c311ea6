"""Runs that are killed, told to end, or moved to other devices: they must end as if nothing had happened.

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

from mai_jax import checkpoint
from tests.real_runs import last_step, logged
from tests.torture.lives import SAVE_EVERY, Life, Scene, unreadable

Counts = dict[str, Any]
FLAT = 0.01  # by how much the memory may grow between a third of the run and its end
SELDOM = 500  # steps between two saves: each leaves some memory behind (docs/reliability.md), which is told apart
LONGER = 1.4  # the longest life before a kill, in starts
MOVES = ((1, 1), (1, 8), (1, 4), (2, 2), (4, 1), (1, 1))  # processes and devices of each
STAY = 40  # steps between two moves
COMPARED = 20  # steps after a move
ROUNDING = 1e-3  # how far a scalar may be from that of the run that stayed, in those steps, relative to it


def memory(scene: Scene) -> Iterator[Counts]:
    """Runs whose resident memory is watched: one that seldom saves, and the one that all others are compared with."""
    counts = {"steps": sum(scene.long), "saving_every": {}, "losses": []}
    for save_every in (SELDOM, SAVE_EVERY):
        workdir = scene.fresh()
        with scene.life(workdir, scene.long, f"--config.run.save_every={save_every}") as life:
            sizes = _sizes(life)
        if life.end() != 0:
            counts["losses"].append(f"exit code {life.end()}: {scene.plain(life.said)[-300:]}")
            continue
        if save_every == SAVE_EVERY:
            scene.finished[scene.long] = workdir
        counts["saving_every"][str(save_every)] = grown = _growth(sizes, counts["steps"])
        if save_every == SELDOM and grown and grown["growth"] > FLAT:
            counts["losses"].append(f"memory grew by {grown['growth']:.1%}")
        yield counts


def _sizes(life: Life) -> list[tuple[int, int]]:
    """Pairs of step and resident bytes, until its end."""
    sizes = []
    while life.going:
        step, resident = life.step, life.resident
        if step and resident:
            sizes.append((step, resident))
        time.sleep(0.2)
    return sizes


def _growth(sizes: list[tuple[int, int]], total: int) -> Counts:
    """From the tenth of the run after its first third to its last tenth, by their medians. Empty if not measured."""
    early, late = ([size for step, size in sizes if begin <= step <= begin + total / 10]
                   for begin in (total / 3, 0.9 * total))
    if not early or not late:
        return {}
    first, last = statistics.median(early), statistics.median(late)
    return {"mib": round(first / 2**20, 1), "growth": last / first - 1, "samples": len(sizes)}


def kills(scene: Scene, count: int, seed: int) -> Iterator[Counts]:
    """SIGKILL at any moment of a life that lasts at most a little longer than a start."""
    moments, start, workdir = random.Random(f"kills {seed}"), _start(scene), scene.fresh()
    during = Counter()
    counts = {"kills": 0, "start_seconds": start, "during": {}, "finished": 0, "most_steps_again": 0, "losses": []}
    while counts["kills"] < count:
        before = _newest(workdir)
        with scene.life(workdir, scene.long) as life:
            first = life.for_seconds(moments.uniform(0, LONGER * start))
            ended = not life.going
            if not ended:
                life.end(signal.SIGKILL)
        if ended:  # all steps were done before its moment came
            counts["finished"] += 1
            counts["losses"] += _end(scene, workdir, life)
            workdir = scene.fresh()
            continue
        start = 0.7 * start + 0.3 * first if first else start  # the machine may become busy, or idle
        counts["kills"] += 1
        during[_moment(life, workdir)] += 1
        again = last_step(workdir) - _newest(workdir)
        counts |= {"during": dict(during), "most_steps_again": max(again, counts["most_steps_again"])}
        counts["losses"] += [f"kill {counts['kills']}: {line}" for line in unreadable(workdir)]
        if _newest(workdir) < before:
            counts["losses"].append(f"kill {counts['kills']}: checkpoint {before} is gone")
        yield counts
    yield counts | _finish(scene, workdir, counts)


def terms(scene: Scene, count: int, seed: int) -> Iterator[Counts]:
    """SIGTERM between the first step's compilation and some seconds later."""
    moments, workdir = random.Random(f"terms {seed}"), scene.fresh()
    counts = {"terms": 0, "exit_0": 0, "saved_last": 0, "seconds": [], "finished": 0, "losses": []}
    while counts["terms"] < count:
        with scene.life(workdir, scene.long) as life:
            life.wait_for(words="compiling")
            life.for_seconds(time.monotonic() - life.began + moments.uniform(0, 4))
            sent = time.monotonic()
            code = life.end(signal.SIGTERM) if life.going else None
            took = time.monotonic() - sent
        if f"all {sum(scene.long)} steps are done" in life.said:
            counts["finished"] += 1
            counts["losses"] += _end(scene, workdir, life)
            workdir = scene.fresh()
            continue
        saved, reached = _newest(workdir), last_step(workdir)
        counts["terms"] += 1
        counts["exit_0"] += code == 0
        counts["saved_last"] += saved == reached and f"SIGTERM at step {saved}: saved" in life.said
        counts["seconds"].append(round(took, 2))
        if code != 0 or saved != reached:
            counts["losses"].append(f"SIGTERM {counts['terms']}: exit code {code}, {saved} saved of {reached} steps")
        counts["losses"] += unreadable(workdir)
        yield counts
    yield counts | _finish(scene, workdir, counts)


def moves(scene: Scene) -> Iterator[Counts]:
    """SIGTERM, then the same command with other devices or processes.

    Each is compared with a copy that goes on from the same checkpoint on one device: differences in rounding grow with
    the steps, so that after many no run could be told from another.
    """
    phases, workdir = (len(MOVES) * STAY, 0), scene.fresh()
    counts = {"moves": [], "losses": []}
    for number, (processes, devices) in enumerate(MOVES, 1):
        at = _newest(workdir)
        stayed = _stayed(scene, workdir, phases, at) if at else []
        lives = scene.together(workdir, phases, processes, devices)
        if number < len(MOVES) and lives[0].wait_for(step=number * STAY):
            lives[-1].process.send_signal(signal.SIGTERM)
        codes = [life.end() for life in lives]
        if set(codes) != {0}:
            counts["losses"].append(f"{processes} x {devices}: exit codes {codes}: {scene.plain(lives[0].said)[-300:]}")
        if at and f"checkpoints/{at}\n" not in lives[0].said:
            counts["losses"].append(f"{processes} x {devices}: did not go on from step {at}")
        counts["losses"] += unreadable(workdir)
        if at:
            apart = [_apart(*pair) for pair in zip(logged(workdir)[at:], stayed, strict=False)]
            moved = {"to": f"{processes} x {devices}", "at": at, "first": max(apart[:1], default=None),
                     "most": max(apart, default=None)}  # fmt: skip
            counts["moves"].append(moved)
            if len(apart) < COMPARED or max(apart) > ROUNDING:
                counts["losses"].append(f"{moved}: not the scalars of the run that stayed on one device")
        yield counts
    trained = [line["step"] for line in logged(workdir) if "hole_ratio" in line]  # others are of the validation
    if trained != list(range(1, sum(phases) + 1)):
        counts["losses"].append("steps are missing in the log, or there twice")
    yield counts


def _stayed(scene: Scene, workdir: Path, phases: tuple[int, int], at: int) -> list[dict[str, float]]:
    """What a copy of the run logs on one device in the steps after `at`."""
    copy = scene.fresh()
    shutil.copytree(workdir, copy)
    with scene.life(copy, phases) as life:
        life.wait_for(step=at + COMPARED)
        life.end(signal.SIGTERM)
    return logged(copy)[at : at + COMPARED]


def _start(scene: Scene) -> float:
    """Seconds from the command to its first step, all programs being compiled."""
    scene.uninterrupted(scene.long)
    with scene.life(scene.fresh(), scene.long) as life:
        life.wait_for(step=1)
        return time.monotonic() - life.began


def _moment(life: Life, workdir: Path) -> str:
    """What a killed run was doing."""
    if not life.step:
        return "preparing its first step" if "compiling" in life.said else "starting"
    saving = any((workdir / checkpoint.FOLDER).glob("*.orbax-checkpoint-tmp*"))
    return "saving" if saving else "stepping"


def _finish(scene: Scene, workdir: Path, counts: Counts) -> Counts:
    """Lets the last run come to its end, in which nothing may differ."""
    with scene.life(workdir, scene.long) as life:
        life.end()
    return {"finished": counts["finished"] + 1, "losses": counts["losses"] + _end(scene, workdir, life)}


def _end(scene: Scene, workdir: Path, life: Life) -> list[str]:
    code = life.end()
    if code != 0:
        return [f"exit code {code}: {scene.plain(life.said)[-300:]}"]
    return scene.not_as_uninterrupted(workdir, scene.long)


def _newest(workdir: Path) -> int:
    return max(checkpoint.steps(workdir), default=0)


def _apart(a: dict[str, float], b: dict[str, float]) -> float:
    """The largest relative difference of two lines of the log."""
    return max(abs(a[name] - b[name]) / max(abs(a[name]), abs(b[name]), 1e-30) for name in a)
