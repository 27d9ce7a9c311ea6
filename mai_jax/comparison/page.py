"""tables.md: Table 4, Table 5 and the figure, with what must be known to read them."""

import textwrap
from collections.abc import Sequence
from typing import Any

from mai_jax.comparison.entrants import Entrant
from mai_jax.comparison.paper import Paper
from mai_jax.comparison.timing import Times
from mai_jax.evaluation import table4
from mai_jax.evaluation.runner import Record

UNTRAINED = """\
**The VGG features of the losses have random weights: these numbers show that the machinery works, not how the methods
compare.**
"""
SAMPLES = """\
"mean of n" are means over n samples of each hole, and what a single one is worth; "best of n by the truth" takes of
each hole the sample that is closest to the truth, as PIC's authors did with 50, which no user can do.
"""
THE_PAPER = "In the paper's columns, beside what it prints; its protocol is not said, so the two do not compete."


def markdown(
    entrants: Sequence[Entrant], result: dict[str, Any], records: Sequence[Record], times: Times, paper: Paper,
    figure: str,
) -> str:  # fmt: skip
    """The page. `records` hold the numbers of all entrants, `result` says how they were measured."""
    sections = ["# The methods on one budget", _budget(entrants, result)]
    if entrants[0].config.vgg16.weights == "random":
        sections += [UNTRAINED]
    sections += ["## Table 4: quality", wrapped(result["about"]), _quality(result, records, paper)]
    if any("by the truth" in key for key in records[0]):
        sections += [SAMPLES]
    sections += ["## Table 5: ms of training per image", speed(times, paper),
                 "## Comparison", f"![Rows: photographs. Columns: input, the methods, truth]({figure})"]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def _budget(entrants: Sequence[Entrant], result: dict[str, Any]) -> str:
    config = entrants[0].config
    phases = " + ".join(f"{phase.steps:,} ({name})" for name, phase in config.phases.items() if phase.steps)
    return wrapped(
        f"Each method: {phases} steps of {config.batch_size} photographs at {config.image_size} px, the same "
        f"{config.total_steps * config.batch_size:,} crops and holes in the same order, seed {config.seed}. "
        f"Measured on {result['pairs']:,} holes in {result['photographs']}. mai_jax {result['mai_jax']}.")


def _quality(result: dict[str, Any], records: Sequence[Record], paper: Paper) -> str:
    made = table4.table(records, result["edges"], result["method"])
    if paper.table4 is None:
        return table4.markdown(made)
    ours = table4.table(records, paper.edges, result["method"]).only(paper.table4.columns)
    return "\n\n".join([table4.markdown(made), THE_PAPER, table4.markdown(ours, paper.table4)])


def speed(times: Times, paper: Paper) -> str:
    """Table 5, the paper's numbers beside ours."""
    medians, last = times.medians, list(times.rounds)[-1]
    rows = [["method", "ms", f"/ {last}", f"paper's ms ({paper.device})", f"/ {last}"]]
    printed = {title: sum(parts) for title, parts in paper.ms_per_image.items()}
    for title, median in medians.items():
        parts = paper.ms_per_image.get(title, [])
        theirs = " + ".join(f"{part:g}" for part in parts) + (f" = {sum(parts):g}" if len(parts) > 1 else "")
        ratio = f"{printed[title] / printed[last]:.2f}" if {title, last} <= printed.keys() else ""
        rows.append([title, f"{median:.2f}", f"{median / medians[last]:.2f}", theirs or "-", ratio or "-"])
    about = times.about
    said = (f"{about['device']}, JAX {about['jax']}, jaxlib {about['jaxlib']}, {about['dtype']}, batch "
            f"{about['batch_size']}, {about['image_size']} px. Medians of {about['rounds']} rounds of "
            f"{about['steps_per_round']} steps, the methods in turn in one process. {about['included']}")
    return f"{aligned(rows)}\n\n{wrapped(said)}"


def aligned(rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """A Markdown table, the first row its head; the first `words` columns to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = [str.ljust] * words + [str.rjust] * (len(widths) - words)
    rule = ["-" * width if side is str.ljust else "-" * (width - 1) + ":"
            for side, width in zip(sides, widths, strict=True)]
    lines = [[side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in (lines[0], rule, *lines[1:]))


def wrapped(paragraph: str, width: int = 120) -> str:
    """The paragraph in lines, by default of the length that all files here have."""
    return textwrap.fill(paragraph, width, break_long_words=False, break_on_hyphens=False)
