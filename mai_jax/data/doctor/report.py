"""Findings as a tired reader can act on them: how many, which, and what to do."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

EXAMPLES = 3  # that a finding names
PURPOSE = {"train": "training", "test": "the test"}  # of the parts

Severity = Literal["error", "warning"]


class Ailment(NamedTuple):
    """An error is what training or its evaluation refuses; a warning is what they do, and what may surprise."""

    severity: Severity
    meaning: str


class Finding(NamedTuple):
    """`what` is one line with count and examples, `meaning` one with the consequence and the mend."""

    severity: Severity
    what: str
    meaning: str


@dataclass
class Section:
    """A part of the report."""

    title: str
    facts: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [self.title, *(f"  {fact}" for fact in self.facts)]
        for finding in self.findings:
            lines += [f"  {finding.severity}: {finding.what}", f"      {finding.meaning}"]
        return "\n".join(lines)


class Tally:
    """Counts of ailments with the first few examples of each: constant memory for any number of files."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = defaultdict(list)

    def add(self, found: Mapping[str, str]) -> None:
        """`found` is what one file has: ailment to how the file is shown as its example."""
        for ailment, example in found.items():
            self._counts[ailment] += 1
            if len(self._examples[ailment]) < EXAMPLES:
                self._examples[ailment].append(example)

    def findings(self, ailments: Mapping[str, Ailment]) -> list[Finding]:
        """What was found, in the order of `ailments`."""
        return [Finding(severity, counted(self._counts[name], name, self._examples[name]), meaning)
                for name, (severity, meaning) in ailments.items() if self._counts[name]]  # fmt: skip


def counted(count: int, name: str, examples: Sequence[str]) -> str:
    """As in "5 grey: a.png, b.png, c.png, ..."."""
    more = ", ..." if count > len(examples) else ""
    return f"{count:,} {name}: {', '.join(examples)}{more}"


def verdict(findings: Sequence[Finding]) -> str:
    """The last line of a report."""
    counts = Counter(finding.severity for finding in findings)
    said = ", ".join(f"{counts[kind] or 'no'} {kind}{'s' * (counts[kind] != 1)}" for kind in ("error", "warning"))
    return f"{said}: " + ("mend the errors before training" if counts["error"] else "nothing would stop the training")
