"""The section on several trainings: the same comparison repeated with other seeds, each in its own folder."""

from collections.abc import Sequence

import numpy as np

from mai_jax.compare.page import markdown_table, wrap
from mai_jax.evaluation.report.table4 import METRICS, Metric, Table
from mai_jax.evaluation.statistics import Paired
from tools.results_page.differences import MARKS, Differences

ABOUT = ("Means over {n} trainings with the seeds {seeds}, ± their standard deviation over the seeds. "
         "Rows without it are not trained.")
PAIRED = ("MAI minus each other method of the same seed: the mean of the differences, with one mark for each seed "
          "whose interval over photographs excludes 0: ▲ MAI is better, "
          "▼ worse.")


def section(
    tables: Sequence[Table], differences: Sequence[Differences], seeds: Sequence[int], metrics: Sequence[str]
) -> str:
    """Return the section. `tables` and `differences` are those of the comparisons with `seeds`, in the same order."""
    columns = [column.replace("[", "\\[") for column in tables[0].columns]
    names = [name for name in metrics if name in tables[0].means]
    about = ABOUT.format(n=len(seeds), seeds=", ".join(map(str, seeds)))
    means, paired = [["metric", "method", *columns]], [["metric", "MAI minus", *columns]]
    for name in names:
        title = METRICS[name].title
        for i, method in enumerate(tables[0].means[name]):
            rows = [table.means[name][method] for table in tables]
            cells = [_mean(METRICS[name], values) for values in zip(*rows, strict=True)]
            means.append(["" if i else title, method, *cells])
        for i, other in enumerate(differences[0][name]):
            cells_by_seed = zip(*(each[name][other] for each in differences), strict=True)
            paired.append(["" if i else title, other, *(_paired(METRICS[name], each) for each in cells_by_seed)])
    return "\n\n".join([wrap(about), markdown_table(means, text_columns=2),
                        wrap(PAIRED), markdown_table(paired, text_columns=2)])


def _mean(metric: Metric, values: Sequence[float | None]) -> str:
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        return "-"
    mean = metric.format(float(np.mean(numbers)))
    if len(set(numbers)) == 1:
        return mean
    return f"{mean} ± {metric.format(float(np.std(numbers, ddof=1)))}"


def _paired(metric: Metric, cells: Sequence[Paired | None]) -> str:
    if any(cell is None or cell.difference is None for cell in cells):
        return "-"
    marks = "".join(MARKS[metric.significance(cell)].strip() for cell in cells)
    return f"{marks} {metric.format_signed(float(np.mean([cell.difference for cell in cells])))}".strip()
