"""The report: findings, each with a count, examples and what to do."""

import contextlib
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Literal, NamedTuple

NUM_EXAMPLES = 3  # per finding
PURPOSE = {"train": "training", "test": "the test"}  # by part

Severity = Literal["error", "warning"]


class Issue(NamedTuple):
    """A kind of problem of single files. An error stops training or its evaluation, a warning does not."""

    severity: Severity
    consequence: str


class Finding(NamedTuple):
    """`message` is one line with count and examples, `consequence` one line with the effect and the fix."""

    severity: Severity
    message: str
    consequence: str


@dataclass
class Section:
    """A section of the report."""

    title: str
    facts: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [self.title, *(f"  {fact}" for fact in self.facts)]
        for finding in self.findings:
            lines += [f"  {finding.severity}: {finding.message}", f"      {finding.consequence}"]
        return "\n".join(lines)


class Tally:
    """Counts of issues with the first few examples of each. The memory does not grow with the number of files."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = defaultdict(list)

    def add(self, found: Mapping[str, str]) -> None:
        """Count the issues of one file. `found` maps the name of each issue to the file's text as an example."""
        for issue, example in found.items():
            self._counts[issue] += 1
            if len(self._examples[issue]) < NUM_EXAMPLES:
                self._examples[issue].append(example)

    def findings(self, issues: Mapping[str, Issue]) -> list[Finding]:
        """Return one finding per issue that was counted, in the order of `issues`."""
        return [Finding(severity, counted(self._counts[name], name, self._examples[name]), consequence)
                for name, (severity, consequence) in issues.items() if self._counts[name]]  # fmt: skip


def counted(count: int, name: str, examples: Sequence[str]) -> str:
    """Return a text such as "5 grey: a.png, b.png, c.png, ..."."""
    more = ", ..." if count > len(examples) else ""
    return f"{count:,} {name}: {', '.join(examples)}{more}"


def summary(findings: Sequence[Finding]) -> str:
    """Return the last line of the report."""
    counts = Counter(finding.severity for finding in findings)
    totals = ", ".join(f"{counts[kind] or 'no'} {kind}{'s' * (counts[kind] != 1)}" for kind in ("error", "warning"))
    return f"{totals}: " + ("fix the errors before training" if counts["error"] else "nothing would stop the training")


@contextlib.contextmanager
def quiet(module: ModuleType) -> Iterator[None]:
    """Hide what the module logs below the level of errors."""
    log = logging.getLogger(module.__name__)
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)
