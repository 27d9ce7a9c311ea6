"""Damage to the files of a checkpoint, and what a start makes of it."""

import random
import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from mai_jax import checkpoint
from mai_jax.types import RunError

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
    found = files(step)
    for file in rng.sample(found, len(found) // 2):
        file.unlink()


TO_FILES: dict[str, Callable[[Path, random.Random], None]] = {
    "truncated file": truncate, "deleted file": delete, "flipped bit": flip_a_bit,
}  # fmt: skip
TO_FOLDERS = {"empty step folder": empty, "half of the files deleted": delete_half}


class Case(NamedTuple):
    kind: str
    target: Path  # in the step folder
    number: int  # of several with this target

    def inflict(self, step: Path, seed: int) -> None:
        rng = random.Random(f"{seed} {self}")
        (TO_FILES | TO_FOLDERS)[self.kind](step / self.target, rng)


def cases(step: Path, flips: int) -> list[Case]:
    """Every kind on every file that has content, `flips` bits of each, and what can happen to the folder."""
    there = [file.relative_to(step) for file in files(step) if file.stat().st_size]
    repeats = {"truncated file": 2, "deleted file": 1, "flipped bit": flips}
    found = [Case(kind, file, i) for kind in TO_FILES for file in there for i in range(repeats[kind])]
    return [*found, Case("empty step folder", Path(), 0),
            *(Case("half of the files deleted", Path(), i) for i in range(flips))]  # fmt: skip


def files(step: Path) -> list[Path]:
    return sorted(path for path in step.rglob("*") if path.is_file())


class Whole:
    """A finished run, and what its newest checkpoint holds."""

    def __init__(self, workdir: Path, like: dict[str, Any]) -> None:
        self.workdir = workdir
        self.like = like
        reader = checkpoint.Reader(workdir)
        self.step, self.meta = reader.path, reader.meta
        self.sums = self._sums(reader)
        self.earlier = checkpoint.steps(workdir)[-2]

    def _sums(self, reader: checkpoint.Reader) -> dict[str, list[int]]:
        return {item: [zlib.crc32(np.ascontiguousarray(leaf)) for leaf in jax.tree.leaves(reader.read(item, like))]
                for item, like in self.like.items()}

    def damaged(self, case: Case, copy: Path, seed: int) -> Path:
        """A copy of the run, with damage in its newest checkpoint."""
        shutil.copytree(self.workdir, copy)
        case.inflict(copy / checkpoint.FOLDER / self.step.name, seed)
        return copy

    def outcome(self, copy: Path) -> tuple[str, str]:
        """What reading the newest checkpoint comes to, and what it says.

        "named": one line names the folder, and the checkpoint before it is whole; "harmless": all that is read is the
        same, to the bit; "silent": it is not, and nothing is said; "unclear": anything else.
        """
        try:
            reader = checkpoint.Reader(copy)
            same = self._sums(reader) == self.sums and reader.meta == self.meta
        except RunError as error:
            clear = str(copy) in str(error) and "\n" not in str(error) and self._goes_on(copy)
            return "named" if clear else "unclear", str(error)
        except Exception as error:  # the promise is that there are none
            return "unclear", repr(error)
        return "harmless" if same else "silent", ""

    def _goes_on(self, copy: Path) -> bool:
        """Whether the earlier checkpoint can be read once the damaged one has been set aside, as is said."""
        folder = copy / checkpoint.FOLDER
        (folder / self.step.name).rename(copy / "damaged")
        reader = checkpoint.Reader(copy)
        self._sums(reader)  # compared with its checksums
        return reader.step == self.earlier


def damages(whole: Whole, scratch: Path, flips: int, seed: int) -> Iterator[dict[str, Any]]:
    """Counts after each case: by kind, how often which outcome."""
    counts = {kind: Counter({outcome: 0 for outcome in FINE + BROKEN}) for kind in (*TO_FILES, *TO_FOLDERS)}
    losses: list[str] = []
    for number, case in enumerate(cases(whole.step, flips)):
        copy = scratch / f"damaged-{number}"
        outcome, said = whole.outcome(whole.damaged(case, copy, seed))
        counts[case.kind][outcome] += 1
        if outcome in BROKEN:
            losses.append(f"{case.kind}, {case.target} ({case.number}): {outcome}: {said.replace(f'{scratch}/', '')}")
        shutil.rmtree(copy)
        yield {"files": len(files(whole.step)), "kinds": {kind: dict(row) for kind, row in counts.items()},
               "losses": losses}  # fmt: skip
