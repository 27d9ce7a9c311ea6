"""The photographs of a run: each on its own, against each other, and those of training against those of the test."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, UInt64

from mai_jax.config import Config
from mai_jax.data.doctor import files
from mai_jax.data.doctor.duplicates import NEAR, SAME, earlier_twins, twins_in
from mai_jax.data.doctor.report import EXAMPLES, PURPOSE, Finding, Section, Tally, counted
from mai_jax.data.doctor.scan import scan
from mai_jax.data.sources import Part, Source

TWICE = {"train": "weigh more than the rest", "test": "are measured more than once"}
LEAK = "the test measures what training has seen: its numbers mean nothing until these are taken out of either"


@dataclass
class Survey:
    """What was found in one source, 45 bytes per image; `sides` is 0 for an unusable one."""

    source: Source
    tally: Tally
    sides: Int[np.ndarray, "n"]
    contents: UInt64[np.ndarray, "n 1"]
    hashes: UInt64[np.ndarray, "n 4"]
    hashed: Bool[np.ndarray, "n"]

    @property
    def usable(self) -> Bool[np.ndarray, "n"]:
        return self.sides > 0


def survey(source: Source, image_size: int) -> Survey:
    """Looks at every image of the source."""
    n = len(source)
    result = Survey(source, Tally(), np.zeros(n, np.int32), np.zeros((n, 1), np.uint64), np.zeros((n, 4), np.uint64),
                    np.zeros(n, bool))
    for i, look in enumerate(scan(lambda i: files.look(source, i, image_size), n, "photographs")):
        result.tally.add(look.found)
        if look.side is not None:
            result.sides[i], result.contents[i] = look.side, look.content
        if look.hash is not None:
            result.hashes[i], result.hashed[i] = look.hash, True
    return result


def section(seen: Survey, part: Part, config: Config) -> Section:
    """What one part is, what ails single images, and its duplicates."""
    facts, sides = [], seen.sides[seen.usable]
    if len(sides):
        target = {"train": config.data.shorter_side, "test": config.image_size}[part]
        few = np.sum(sides < target)
        facts.append(f"shorter sides {sides.min()} to {sides.max()} px, median {np.median(sides):.0f}, all brought to "
                     f"{target}" + (f", so {few:,} are enlarged" if few else ""))
    named = getattr(config.data, part) or f"held out of {config.data.train}"
    title = f"photographs for {PURPOSE[part]}: {len(seen.sides):,} ({named})"
    return Section(title, facts, seen.tally.findings(files.AILMENTS) + _duplicates(seen, part))


def overlap(train: Survey, test: Survey) -> Section:
    """Images of the test that training sees too, exactly or nearly."""
    a, b = train.usable, test.usable
    same = _scattered(twins_in(train.contents[a], test.contents[b], SAME), a, b)
    a, b = train.hashed, test.hashed
    near = _scattered(twins_in(train.hashes[a], test.hashes[b], NEAR), a, b)
    twins = {"are in both, byte for byte": same, "look like one of training": near}
    findings = _findings(twins, test, train, LEAK)
    return Section("training against test", [] if findings else ["no photograph is in both"], findings)


def _duplicates(seen: Survey, part: Part) -> list[Finding]:
    same = _scattered(earlier_twins(seen.contents[seen.usable], SAME), seen.usable, seen.usable)
    near = _scattered(earlier_twins(seen.hashes[seen.hashed], NEAR), seen.hashed, seen.hashed)
    return _findings({"duplicates, byte for byte": same, "near-duplicates": near}, seen, seen,
                     f"keep one of each: they {TWICE[part]}")


def _scattered(twins, of_others, of_these) -> Int[np.ndarray, "n"]:
    """Twins that were counted among some images only, counted among all; -1 where there is none."""
    places = np.append(np.flatnonzero(of_others), -1)
    result = np.full(len(of_these), -1)
    result[of_these] = places[twins]
    return result


def _findings(twins: dict[str, np.ndarray], seen: Survey, others: Survey, meaning: str) -> list[Finding]:
    """One for each kind of twins; an image that is of an earlier kind does not count for a later one."""
    findings, told = [], np.zeros(len(seen.sides), bool)
    for name, twin in twins.items():
        found = np.flatnonzero((twin >= 0) & ~told)
        told[found] = True
        shown = [f"{seen.source[int(i)]['id']} = {others.source[int(twin[i])]['id']}" for i in found[:EXAMPLES]]
        if len(found):
            findings.append(Finding("warning", counted(len(found), name, shown), meaning))
    return findings
