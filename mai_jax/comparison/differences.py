"""MAI minus each of the others, image by image, and what became of the hopes that the comparison began with."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mai_jax.comparison.entrants import title
from mai_jax.comparison.page import aligned, wrapped
from mai_jax.evaluation.statistics import Paired
from mai_jax.evaluation.table4 import METRICS, Metric

Differences = Mapping[str, Mapping[str, Sequence[Paired | None]]]  # by metric and other method: `table4.differences`
MARKS = {1: "▲ ", -1: "▼ ", 0: ""}


class Hope(NamedTuple):
    """MAI better than the method in folder `other` by every metric and in every bin, each time with an interval that
    excludes 0, and by at least `lead` in the mean.
    """

    other: str
    metrics: tuple[str, ...]
    bins: tuple[str, ...]
    lead: float = 0.0


LARGE = ("(.3,.4]", "(.5,.6]")
HOPES = (
    Hope("pconv", ("psnr", "ssim"), LARGE),
    Hope("mai_no_attention", ("psnr", "ssim"), LARGE),
    Hope("telea", ("psnr",), LARGE[1:], lead=1.0),
)


def table(differences: Differences, columns: Sequence[str], metrics: Sequence[str]) -> str:
    """Markdown: metric and other method down, share of hole across."""
    rows = [["metric", "MAI minus", *(column.replace("[", "\\[") for column in columns)]]
    for name in metrics:
        for i, (other, row) in enumerate(differences.get(name, {}).items()):
            rows.append(["" if i else METRICS[name].title, other, *(_cell(METRICS[name], paired) for paired in row)])
    return aligned(rows, words=2)


def _cell(metric: Metric, paired: Paired | None) -> str:
    return "-" if paired is None else MARKS[metric.verdict(paired)] + _shown(metric, paired)


def _shown(metric: Metric, paired: Paired) -> str:
    interval = f" ({' to '.join(map(metric.signed, paired.interval))})" if paired.interval else ""
    return metric.signed(paired.difference) + interval


def outcome(differences: Differences, columns: Sequence[str], rows: Mapping[str, str]) -> str:
    """A Markdown list: each hope, whether it came true, and the numbers that say so. `rows` names the methods of the
    folders in the differences.
    """
    items = [wrapped(_outcome(hope, differences, columns, rows), 118) for hope in HOPES]
    return "\n".join("- " + item.replace("\n", "\n  ") for item in items)


def _outcome(hope: Hope, differences: Differences, columns: Sequence[str], rows: Mapping[str, str]) -> str:
    other = rows.get(hope.other)
    hoped = _hoped(hope, other or title(hope.other))
    if other is None or not set(hope.bins) <= set(columns):
        return f"{hoped}: not measured here."
    true, parts = 0, []
    for name in hope.metrics:
        for label in hope.bins:
            metric, paired = METRICS[name], differences[name][other][columns.index(label)]
            came = paired is not None and came_true(metric, paired, hope.lead)
            true += came
            shown = "no image" if paired is None else _shown(metric, paired)
            parts.append(f"{metric.name} in {label} {shown}{'' if came else ', **no**'}")
    whole = len(parts)
    verdict = "came true" if true == whole else f"came true in {true} of {whole}" if true else "did not come true"
    return f"{hoped}: **{verdict}**. {'; '.join(parts)}."


def came_true(metric: Metric, paired: Paired, lead: float) -> bool:
    ahead = (paired.difference or 0.0) * (1 if metric.higher_is_better else -1)
    return metric.verdict(paired) == 1 and ahead >= lead


def _hoped(hope: Hope, other: str) -> str:
    metrics = " and ".join(METRICS[name].name for name in hope.metrics)
    lead = f" by {hope.lead:g} dB" if hope.lead else ""
    return f"MAI ahead of {other}{lead} in {' and '.join(hope.bins)} by {metrics}"
