"""The page tables.md: Table 4, Table 5 and the figure, with the conditions of the comparison."""

import io
import textwrap
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from mai_jax.batch import Batch
from mai_jax.compare.methods import Method
from mai_jax.compare.paper import Paper
from mai_jax.compare.timing import Times
from mai_jax.evaluation import evaluator
from mai_jax.evaluation.eval_target import EvalTarget
from mai_jax.evaluation.evaluator import Record
from mai_jax.evaluation.protocols import Protocol
from mai_jax.evaluation.report import table4
from mai_jax.visualize import show_hole, side_by_side

FIGURE_ROWS = 6

UNTRAINED = """\
**The VGG features of the losses have random weights: these numbers show that the software works, not how the methods
compare.**
"""
SAMPLES = """\
"mean of n": the mean over n samples of each hole, the expected quality of one sample. "best of n by the truth": the
sample closest to the ground truth, as PIC's authors select one of 50. It cannot be selected without the ground truth.
"""
PAPER_NOTE = ("The same in the columns of the paper, next to its values. The paper does not state its protocol, so the "
              "two are not comparable.")


def markdown(
    methods: Sequence[Method], result: dict[str, Any], records: Sequence[Record], times: Times, paper: Paper,
    figure: str,
) -> str:  # fmt: skip
    """Return the page. `records` contain the metrics of all methods, `result` the conditions of the evaluation."""
    sections = ["# Comparison with equal training budgets", _budget(methods, result)]
    if methods[0].config.vgg16.weights == "random":
        sections += [UNTRAINED]
    sections += ["## Table 4: quality", wrap(result["about"]), _quality(result, records, paper)]
    if any("by the truth" in key for key in records[0]):
        sections += [SAMPLES]
    sections += ["## Table 5: ms of training per image", speed(times, paper),
                 "## Comparison", f"![Rows: images. Columns: input, the methods, truth]({figure})"]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def _budget(methods: Sequence[Method], result: dict[str, Any]) -> str:
    config = methods[0].config
    phases = " + ".join(f"{phase.steps:,} ({name})" for name, phase in config.phases.items() if phase.steps)
    return wrap(
        f"Each method: {phases} steps of {config.batch_size} images at {config.image_size} px, the same "
        f"{config.total_steps * config.batch_size:,} crops and holes in the same order, seed {config.seed}. "
        f"Evaluated on {result['pairs']:,} holes in {result['photographs']}. mai_jax {result['mai_jax']}.")


def _quality(result: dict[str, Any], records: Sequence[Record], paper: Paper) -> str:
    table = table4.table(records, result["edges"], result["method"])
    if paper.table4 is None:
        return table4.markdown(table)
    in_paper_bins = table4.table(records, paper.edges, result["method"]).only(paper.table4.columns)
    return "\n\n".join([table4.markdown(table), wrap(PAPER_NOTE), table4.markdown(in_paper_bins, paper.table4)])


def speed(times: Times, paper: Paper) -> str:
    """Return Table 5, with the values of the paper in separate columns."""
    medians, last = times.medians, list(times.rounds)[-1]
    rows = [["method", "ms", f"/ {last}", f"paper's ms ({paper.device})", f"/ {last}"]]
    printed = {title: sum(parts) for title, parts in paper.ms_per_image.items()}
    for title, median in medians.items():
        parts = paper.ms_per_image.get(title, [])
        published = " + ".join(f"{part:g}" for part in parts) + (f" = {sum(parts):g}" if len(parts) > 1 else "")
        ratio = f"{printed[title] / printed[last]:.2f}" if {title, last} <= printed.keys() else ""
        rows.append([title, f"{median:.2f}", f"{median / medians[last]:.2f}", published or "-", ratio or "-"])
    about = times.about
    conditions = (f"{about['device']}, JAX {about['jax']}, jaxlib {about['jaxlib']}, {about['dtype']}, batch "
                  f"{about['batch_size']}, {about['image_size']} px. Medians of {about['rounds']} rounds of "
                  f"{about['steps_per_round']} steps, the methods in turn in one process. {about['included']}")
    return f"{markdown_table(rows)}\n\n{wrap(conditions)}"


def markdown_table(rows: Sequence[Sequence[str]], text_columns: int = 1) -> str:
    """Return a Markdown table with the first row as header; all columns after `text_columns` are right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    align = [str.ljust] * text_columns + [str.rjust] * (len(widths) - text_columns)
    rule = ["-" * width if pad is str.ljust else "-" * (width - 1) + ":"
            for pad, width in zip(align, widths, strict=True)]
    lines = [[pad(cell, width) for pad, cell, width in zip(align, row, widths, strict=True)] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in (lines[0], rule, *lines[1:]))


def wrap(paragraph: str, width: int = 120) -> str:
    """Return the paragraph in lines of at most `width` characters."""
    return textwrap.fill(paragraph, width, break_long_words=False, break_on_hyphens=False)


def draw(targets: Sequence[EvalTarget], protocol: Protocol, records: Sequence[Record]) -> bytes:
    """Return a PNG with images as rows and input, each method and truth as columns.

    `records` are those of the pairs of the targets. The rows are evenly spaced among the larger half of the holes,
    because small holes show little difference.
    """
    ratios = [record["hole_ratio"] for record in records]
    large = [i for i, ratio in enumerate(ratios) if ratio >= np.median(ratios)]
    indices = [large[i] for i in np.linspace(0, len(large) - 1, min(FIGURE_ROWS, len(large))).round().astype(int)]
    pairs = [targets[0].dataset[i] for i in indices]
    truth = np.stack([pair.truth for pair in pairs])
    valid = 1 - np.stack([pair.hole[..., None] for pair in pairs]).astype(np.float32)
    batch = Batch(jnp.asarray(truth.astype(np.float32) / 255), jnp.asarray(valid))
    columns = {"input": np.asarray(show_hole(batch))}
    for target in targets:
        # The batch size of the evaluation, for which the program is already compiled.
        prediction = np.concatenate(list(evaluator.completed(pairs, protocol, target.predict, target.batch_size)))
        columns[target.name] = prediction.astype(np.float32) / 255
    columns["truth"] = truth.astype(np.float32) / 255
    png = io.BytesIO()
    side_by_side(columns, [f"{pair.id}\n{pair.hole.mean():.0%} hole" for pair in pairs]).save(png, "png")
    return png.getvalue()
