"""Paired differences of MAI and the other methods, and whether they meet the expectations of the comparison."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mai_jax.compare.methods import title
from mai_jax.compare.page import markdown_table, wrap
from mai_jax.evaluation.report.table4 import METRICS, Metric
from mai_jax.evaluation.statistics import Paired

Differences = Mapping[str, Mapping[str, Sequence[Paired | None]]]  # by metric and other method: `table4.differences`
MARKS = {1: "▲ ", -1: "▼ ", 0: ""}


class Expectation(NamedTuple):
    """MAI is better than the method in folder `other` in every metric and bin.

    The interval of every difference excludes 0, and its mean is at least `lead`.
    """

    other: str
    metrics: tuple[str, ...]
    bins: tuple[str, ...]
    lead: float = 0.0


ALL_SIZES = ("(.1,.2]", "(.3,.4]", "(.5,.6]")  # columns of the paper's Table 4
QUALITY = ("psnr", "ssim", "lpips", "lpips_alex")
EXPECTATIONS = (
    Expectation("pconv", QUALITY, ALL_SIZES),
    Expectation("mai_no_attention", QUALITY, ALL_SIZES),
    Expectation("biharmonic", ("psnr",), ("(.01,.1]",)),
    Expectation("biharmonic", ("psnr",), ("(.3,.4]",), lead=1.0),
    Expectation("biharmonic", ("psnr",), ("(.5,.6]",), lead=2.0),
    Expectation("biharmonic", ("lpips", "lpips_alex"), ALL_SIZES),
    Expectation("navier_stokes", ("lpips", "lpips_alex"), ALL_SIZES),
    Expectation("telea", ("lpips", "lpips_alex"), ALL_SIZES),
)


def table(differences: Differences, columns: Sequence[str], metrics: Sequence[str]) -> str:
    """Return a Markdown table: rows of metrics and other methods, columns of hole ratio bins."""
    rows = [["metric", "MAI minus", *(column.replace("[", "\\[") for column in columns)]]
    for name in metrics:
        for i, (other, row) in enumerate(differences.get(name, {}).items()):
            rows.append(["" if i else METRICS[name].title, other, *(_cell(METRICS[name], paired) for paired in row)])
    return markdown_table(rows, text_columns=2)


def _cell(metric: Metric, paired: Paired | None) -> str:
    return "-" if paired is None else MARKS[metric.significance(paired)] + _format(metric, paired)


def _format(metric: Metric, paired: Paired) -> str:
    interval = f" ({' to '.join(map(metric.format_signed, paired.interval))})" if paired.interval else ""
    return metric.format_signed(paired.difference) + interval


def outcomes(by_seed: Sequence[Differences], columns: Sequence[str], rows: Mapping[str, str]) -> str:
    """Return a Markdown list of the expectations, with the measured values and whether they are met.

    `by_seed` are the differences of one comparison per seed; a value meets an expectation if that of every seed does.
    `rows` maps folders to the names of their methods in the differences. Metrics that were not measured are left out.
    """
    items = [wrap(_outcome(expectation, by_seed, columns, rows), 118) for expectation in EXPECTATIONS]
    return "\n".join("- " + item.replace("\n", "\n  ") for item in items)


def _outcome(
    expectation: Expectation, by_seed: Sequence[Differences], columns: Sequence[str], rows: Mapping[str, str]
) -> str:
    metrics = tuple(name for name in expectation.metrics if name in by_seed[0])
    other = rows.get(expectation.other)
    measured = expectation._replace(metrics=metrics or expectation.metrics)
    expected = _describe(measured, other or title(expectation.other))
    if other is None or not metrics or not set(expectation.bins) <= set(columns):
        return f"{expected}: not measured here."
    met, parts = 0, []
    for name in metrics:
        for label in expectation.bins:
            metric, column = METRICS[name], columns.index(label)
            cells = [differences[name][other][column] for differences in by_seed]
            this_met = all(cell is not None and is_met(metric, cell, expectation.lead) for cell in cells)
            met += this_met
            values = ", ".join("no image" if cell is None else _format(metric, cell) for cell in cells)
            parts.append(f"{metric.name} in {label} {values}{'' if this_met else ', **no**'}")
    outcome = "met" if met == len(parts) else f"met in {met} of {len(parts)}" if met else "not met"
    return f"{expected}: **{outcome}**. {'; '.join(parts)}."


def is_met(metric: Metric, paired: Paired, lead: float) -> bool:
    """Return whether a difference is significant and at least `lead`."""
    improvement = (paired.difference or 0.0) * (1 if metric.higher_is_better else -1)
    return metric.significance(paired) == 1 and improvement >= lead


def _describe(expectation: Expectation, other: str) -> str:
    lead = f" by {expectation.lead:g} dB" if expectation.lead else ""
    return f"MAI better than {other}{lead} in {_listed(expectation.bins)} by " + _listed(
        [METRICS[name].name for name in expectation.metrics])


def _listed(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
