"""Damage to the files of a checkpoint, and how reading it responds."""

import random
import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from mai_jax.errors import RunError
from mai_jax.training import checkpointing

FINE = ("named", "harmless")
BROKEN = ("silent", "unclear")


def truncate(file: Path, rng: random.Random) -> None:
    data = file.read_bytes()
    file.write_bytes(data[:rng.choice([0, len(data) // 2, len(data) - 1])])


def delete(file: Path, rng: random.Random) -> None:
    file.unlink()


def flip_a_bit(file: Path, rng: random.Random) -> None:
    data = bytearray(file.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(data)


def empty(step: Path, rng: random.Random) -> None:
    shutil.rmtree(step)
    step.mkdir()


def delete_half(step: Path, rng: random.Random) -> None:
    existing = files(step)
    for file in rng.sample(existing, len(existing) // 2):
        file.unlink()


TO_FILES: dict[str, Callable[[Path, random.Random], None]] = {
    "truncated file": truncate, "deleted file": delete, "flipped bit": flip_a_bit,
}  # fmt: skip
TO_FOLDERS = {"empty step folder": empty, "half of the files deleted": delete_half}


class Case(NamedTuple):
    """One damage, which is reproducible from these fields and a seed."""

    kind: str
    target: Path  # relative to the step folder
    number: int  # among cases with the same kind and target

    def apply(self, step: Path, seed: int) -> None:
        """Damage the checkpoint in the folder `step`."""
        rng = random.Random(f"{seed} {self}")
        (TO_FILES | TO_FOLDERS)[self.kind](step / self.target, rng)


def cases(step: Path, flips: int) -> list[Case]:
    """Return every kind of damage to every non-empty file, `flips` bits in each, and the damages to the folder."""
    targets = [file.relative_to(step) for file in files(step) if file.stat().st_size]
    repeats = {"truncated file": 2, "deleted file": 1, "flipped bit": flips}
    of_files = [Case(kind, file, i) for kind in TO_FILES for file in targets for i in range(repeats[kind])]
    return [*of_files, Case("empty step folder", Path(), 0),
            *(Case("half of the files deleted", Path(), i) for i in range(flips))]  # fmt: skip


def files(step: Path) -> list[Path]:
    return sorted(path for path in step.rglob("*") if path.is_file())


class IntactRun:
    """A finished run and the content of its newest checkpoint."""

    def __init__(self, workdir: Path, like: dict[str, Any]) -> None:
        self.workdir = workdir
        self.like = like
        reader = checkpointing.CheckpointReader(workdir)
        self.step, self.meta = reader.path, reader.meta
        self.checksums = self._checksums(reader)
        self.earlier = checkpointing.steps(workdir)[-2]

    def _checksums(self, reader: checkpointing.CheckpointReader) -> dict[str, list[int]]:
        return {item: [zlib.crc32(np.ascontiguousarray(leaf)) for leaf in jax.tree.leaves(reader.read(item, like))]
                for item, like in self.like.items()}

    def damaged(self, case: Case, copy: Path, seed: int) -> Path:
        """Copy the run to `copy` and damage the newest checkpoint there. Return `copy`."""
        shutil.copytree(self.workdir, copy)
        case.apply(copy / checkpointing.FOLDER / self.step.name, seed)
        return copy

    def outcome(self, copy: Path) -> tuple[str, str]:
        """Return the outcome of reading the newest checkpoint, and the error message.

        "named": the error is one line that names the folder, and the checkpoint before it is intact; "harmless": no
        error, and the values are bit-identical; "silent": no error, but the values differ; "unclear": anything else.
        """
        try:
            reader = checkpointing.CheckpointReader(copy)
            same = self._checksums(reader) == self.checksums and reader.meta == self.meta
        except RunError as error:
            clear = str(copy) in str(error) and "\n" not in str(error) and self._can_resume(copy)
            return "named" if clear else "unclear", str(error)
        except Exception as error:  # no other exception is allowed
            return "unclear", repr(error)
        return "harmless" if same else "silent", ""

    def _can_resume(self, copy: Path) -> bool:
        """Return whether the earlier checkpoint can be read after the damaged one is moved away, as the error says."""
        folder = copy / checkpointing.FOLDER
        (folder / self.step.name).rename(copy / "damaged")
        reader = checkpointing.CheckpointReader(copy)
        self._checksums(reader)  # reading verifies them
        return reader.step == self.earlier


def damages(run: IntactRun, scratch: Path, flips: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the counts after each case: the number of each outcome, by kind of damage."""
    counts = {kind: Counter({outcome: 0 for outcome in FINE + BROKEN}) for kind in (*TO_FILES, *TO_FOLDERS)}
    losses: list[str] = []
    for number, case in enumerate(cases(run.step, flips)):
        copy = scratch / f"damaged-{number}"
        outcome, message = run.outcome(run.damaged(case, copy, seed))
        counts[case.kind][outcome] += 1
        if outcome in BROKEN:
            message = message.replace(f"{scratch}/", "")
            losses.append(f"{case.kind}, {case.target} ({case.number}): {outcome}: {message}")
        shutil.rmtree(copy)
        yield {"files": len(files(run.step)), "kinds": {kind: dict(row) for kind, row in counts.items()},
               "losses": losses}  # fmt: skip
