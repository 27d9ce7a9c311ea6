"""The photographs of a run: issues of single files, duplicates, and overlap of training and test."""

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, UInt64

from mai_jax.config import Config
from mai_jax.data.pipeline import MAX_UNREADABLE
from mai_jax.data.sources import Part, Source
from mai_jax.doctor import image_checks
from mai_jax.doctor.duplicates import EXACT, NEAR, duplicates_in, earlier_duplicates
from mai_jax.doctor.report import NUM_EXAMPLES, PURPOSE, Finding, Issue, Section, Tally, counted
from mai_jax.doctor.scan import scan

DUPLICATED = {"train": "have more weight than the others", "test": "are measured more than once"}
LEAK = "the test images are also used for training, so test results are not valid; remove these from one of the two"


@dataclass
class Survey:
    """The reports on all images of a source, 45 bytes per image. `sides` is 0 for an unusable image."""

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
    """Return the survey of all images of the source."""
    n = len(source)
    result = Survey(source, Tally(), np.zeros(n, np.int32), np.zeros((n, 1), np.uint64), np.zeros((n, 4), np.uint64),
                    np.zeros(n, bool))
    inspect = functools.partial(image_checks.inspect_image, source, image_size=image_size)
    for i, report in enumerate(scan(inspect, n, "photographs")):
        result.tally.add(report.found)
        if report.side is not None:
            result.sides[i], result.contents[i] = report.side, report.content
        if report.hash is not None:
            result.hashes[i], result.hashed[i] = report.hash, True
    return result


def section(images: Survey, part: Part, config: Config) -> Section:
    """Return the section of one part: sizes, issues of single images, and duplicates within the part."""
    facts, sides = [], images.sides[images.usable]
    if len(sides):
        target = {"train": config.data.shorter_side, "test": config.image_size}[part]
        num_enlarged = np.sum(sides < target)
        facts.append(f"shorter sides {sides.min()} to {sides.max()} px, median {np.median(sides):.0f}, all resized to "
                     f"{target}" + (f", so {num_enlarged:,} are enlarged" if num_enlarged else ""))
    name = getattr(config.data, part) or f"held out of {config.data.train}"
    title = f"photographs for {PURPOSE[part]}: {len(images.sides):,} ({name})"
    issues = image_checks.ISSUES
    unusable = np.sum(~images.usable)
    if part == "train" and config.data.unreadable == "skip" and unusable <= MAX_UNREADABLE * len(images.sides):
        issues = issues | {"unusable": Issue("warning", "training leaves them out (config.data.unreadable=skip)")}
    return Section(title, facts, images.tally.findings(issues) + _duplicates(images, part))


def overlap(train: Survey, test: Survey) -> Section:
    """Return the section on test images that are also, exactly or nearly, in the training set."""
    a, b = train.usable, test.usable
    exact = _scatter(duplicates_in(train.contents[a], test.contents[b], EXACT), a, b)
    a, b = train.hashed, test.hashed
    near = _scatter(duplicates_in(train.hashes[a], test.hashes[b], NEAR), a, b)
    duplicates = {"are in both, byte for byte": exact, "look like one of training": near}
    findings = _findings(duplicates, test, train, LEAK)
    return Section("training against test", [] if findings else ["no photograph is in both"], findings)


def _duplicates(images: Survey, part: Part) -> list[Finding]:
    exact = _scatter(earlier_duplicates(images.contents[images.usable], EXACT), images.usable, images.usable)
    near = _scatter(earlier_duplicates(images.hashes[images.hashed], NEAR), images.hashed, images.hashed)
    return _findings({"duplicates, byte for byte": exact, "near-duplicates": near}, images, images,
                     f"keep one of each: they {DUPLICATED[part]}")


def _scatter(
    duplicates: Int[np.ndarray, "k"], of_others: Bool[np.ndarray, "m"], of_these: Bool[np.ndarray, "n"]
) -> Int[np.ndarray, "n"]:
    """Return `duplicates`, whose indices count the True entries of both masks only, as indices of all images."""
    indices = np.append(np.flatnonzero(of_others), -1)
    result = np.full(len(of_these), -1)
    result[of_these] = indices[duplicates]
    return result


def _findings(
    duplicates: dict[str, np.ndarray], images: Survey, others: Survey, consequence: str
) -> list[Finding]:
    """Return one finding per kind of duplicate; an image is counted for the first of its kinds only."""
    findings, counted_before = [], np.zeros(len(images.sides), bool)
    for name, indices in duplicates.items():
        found = np.flatnonzero((indices >= 0) & ~counted_before)
        counted_before[found] = True
        examples = [f"{images.source[int(i)]['id']} = {others.source[int(indices[i])]['id']}"
                    for i in found[:NUM_EXAMPLES]]  # fmt: skip
        if len(found):
            findings.append(Finding("warning", counted(len(found), name, examples), consequence))
    return findings
