"""The paper's Table 4 from the records of an evaluation: metric by method down, share of hole across.

A record is one photograph with one hole: {"id": str, "hole_ratio": float, "ssim": float, "psnr": float, "l1": float,
"<other method>": {"ssim": float, ...}}. The numbers on its top level are the method's own; every key that holds a dict
is one more method, measured on the same pair. Units are the paper's: PSNR in dB, l1 as a fraction.

A dash stands where there is no number: in a column without images, and in one where a record lacks the metric, since a
mean over the others would be of other images than the rows beside it.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, NamedTuple

from mai_jax.evaluation import statistics
from mai_jax.evaluation.ratio_bins import bin_of, label
from mai_jax.types import InputError

Record = Mapping[str, Any]
Interval = tuple[float, float]


class Metric(NamedTuple):
    name: str
    decimals: int
    higher_is_better: bool

    @property
    def title(self) -> str:
        return f"{self.name} {'↑' if self.higher_is_better else '↓'}"

    def show(self, value: float | None) -> str:
        """A number as every table writes it."""
        if value is None:
            return "-"
        return "∞" if value == math.inf else f"{value:.{self.decimals}f}"

    def signed(self, value: float | None) -> str:
        """The same of a difference."""
        sign = "" if not value else "\N{MINUS SIGN}" if value < 0 else "+"
        return sign + self.show(value and abs(value))

    def verdict(self, paired: statistics.Paired) -> int:
        """1 where the interval of a difference says better, -1 where it says worse, 0 where it leaves that open."""
        low, high = paired.interval or (0, 0)
        above = (low > 0) - (high < 0)
        return above if self.higher_is_better else -above


PAPERS = {
    "ssim": Metric("SSIM", 4, higher_is_better=True),
    "psnr": Metric("PSNR", 2, higher_is_better=True),
    "l1": Metric("mean l1", 5, higher_is_better=False),
}
METRICS = PAPERS | {  # these have rows where the records hold them
    "hole_psnr": Metric("hole PSNR", 2, higher_is_better=True),
    "hole_l1": Metric("hole l1", 5, higher_is_better=False),
    "lpips": Metric("LPIPS", 4, higher_is_better=False),
}
LEGEND = "↑ higher is better, ↓ lower is better. Columns: share of the image that is hole. Rows: means over images."
SPREAD = "± half the width of the mean's 95 % bootstrap interval. Bold: the best of a column."

MARKDOWN_SPECIAL = {c: f"\\{c}" for c in "\\`*_|<["}
LATEX_SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "∞": r"$\infty$", "±": r"$\pm$",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """`means[metric][method]` holds one number per column, None where there is none to show; `intervals` alike."""

    columns: tuple[str, ...]
    images: tuple[int, ...]  # how many images each column counts; () where nobody said
    means: dict[str, dict[str, Sequence[float | None]]]
    intervals: dict[str, dict[str, Sequence[Interval | None]]] = field(default_factory=dict)  # {} where nobody said

    def only(self, columns: Sequence[str]) -> "Table":
        """The table with these of its columns."""
        places = [self.columns.index(column) for column in columns]

        def pick(rows: dict[str, dict[str, Sequence[Any]]]) -> dict[str, dict[str, Sequence[Any]]]:
            return {metric: {method: tuple(row[i] for i in places) for method, row in methods.items()}
                    for metric, methods in rows.items()}

        images = tuple(self.images[i] for i in places)
        return Table(tuple(columns), images, pick(self.means), pick(self.intervals))

    def best(self, metric: str, column: int) -> set[str]:
        """The methods whose mean, as it is shown, is the best; none where there are not two to compare."""
        _, decimals, higher_is_better = METRICS[metric]
        shown = {method: round(means[column], decimals) for method, means in self.means[metric].items()
                 if means[column] is not None}
        if len(shown) < 2:
            return set()
        top = (max if higher_is_better else min)(shown.values())
        return {method for method, mean in shown.items() if mean == top}


def table(records: Sequence[Record], edges: Sequence[float], method: str = "MAI") -> Table:
    """Means per ratio bin, and over all records, those outside every bin included. `method` names the records' own.

    An image that was restored exactly has an infinite PSNR, and then so has the mean of its column. Raises InputError
    where a method beside the records' own has the same name.
    """
    names, groups = methods(records, method), by_column(records, edges)
    ids = [[str(record["id"]) for record in group] for group in groups]
    means, intervals = {}, {}
    for metric in measured(records):
        columns = {name: [numbers(group, metric, key) for group in groups] for name, key in names.items()}
        means[metric] = {name: tuple(fmean(values) if values else None for values in column)
                         for name, column in columns.items()}
        intervals[metric] = {name: tuple(statistics.interval(values, photographs) if values else None
                                         for values, photographs in zip(column, ids, strict=True))
                             for name, column in columns.items()}
    return Table((*map(label, edges, edges[1:]), "all"), tuple(map(len, groups)), means, intervals)


def differences(
    records: Sequence[Record], edges: Sequence[float], method: str = "MAI"
) -> dict[str, dict[str, tuple[statistics.Paired | None, ...]]]:
    """By metric and other method, in the columns of `table`: the records' own method minus the other, image by image.

    None where there is no image, or one lacks the number.
    """
    groups = by_column(records, edges)
    (_, *others) = methods(records, method).items()

    def pair(group: list[Record], metric: str, key: str) -> statistics.Paired | None:
        own, other = numbers(group, metric, None), numbers(group, metric, key)
        if not own or not other:
            return None
        places = [(str(record["id"]), i) for i, record in enumerate(group)]
        return statistics.paired(dict(zip(places, own, strict=True)), dict(zip(places, other, strict=True)),
                                 higher_is_better=METRICS[metric].higher_is_better)

    return {metric: {name: tuple(pair(group, metric, key) for group in groups) for name, key in others}
            for metric in measured(records)}


def by_column(records: Sequence[Record], edges: Sequence[float]) -> list[list[Record]]:
    """The records of each bin, then all of them."""
    places = [bin_of(record["hole_ratio"], edges) for record in records]
    groups = [[record for record, place in zip(records, places, strict=True) if place == i]
              for i in range(len(edges) - 1)]
    return [*groups, list(records)]


def measured(records: Sequence[Record]) -> list[str]:
    """The metrics to show: the paper's, and those that some record holds."""
    return [metric for metric in METRICS if metric in PAPERS or any(metric in record for record in records)]


def methods(records: Sequence[Record], method: str) -> dict[str, str | None]:
    """From the name of each method to its key in the records; their own comes first and has none."""
    keys = dict.fromkeys(key for record in records for key, value in record.items() if isinstance(value, Mapping))
    names: dict[str, str | None] = {method: None}
    for key in keys:
        name = key.replace("_", " ")
        if name in names:
            raise InputError(f"{name!r} is the name of two methods in one table: give one of them another name")
        names[name] = key
    return names


def numbers(group: Sequence[Record], metric: str, key: str | None) -> list[float] | None:
    """A metric of one method in every record; None where a record lacks it."""
    values = [(record if key is None else record.get(key, {})).get(metric) for record in group]
    return None if None in values else [float(value) for value in values]


def text(made: Table) -> str:
    """The table for a terminal."""
    rows = _rows([made], lambda shown, spread, best: shown, {})
    return "\n".join([*("  ".join(row) for row in rows), LEGEND]) + "\n"


def markdown(*tables: Table) -> str:
    """The table for a document, means with intervals.

    Several tables with the same columns become one, their rows under each other metric by metric; the best is marked
    in each by itself, for numbers of different sources do not compete.
    """
    def cell(shown: str, spread: str, best: bool) -> str:
        return (f"**{shown}**" if best else shown) + spread

    head, *body = ("| " + " | ".join(row) + " |" for row in _rows(tables, cell, MARKDOWN_SPECIAL))
    rule = "".join("|" if letter == "|" else "-" for letter in head)
    return "\n".join([head, rule, *body, "", LEGEND, SPREAD]) + "\n"


def latex(*tables: Table) -> str:
    r"""The same for an article, with \usepackage{booktabs}."""
    def cell(shown: str, spread: str, best: bool) -> str:
        return (rf"\textbf{{{shown}}}" if best else shown) + (rf"{{\scriptsize{spread}}}" if spread else "")

    head, *body = (" & ".join(row) + r" \\" for row in _rows(tables, cell, LATEX_SPECIAL))
    for i, row in enumerate(body[1:], 1):
        body[i] = row if row.startswith(" ") else "\\addlinespace\n" + row
    lines = [rf"\begin{{tabular}}{{ll{'r' * len(tables[0].columns)}}}", r"\toprule", head, r"\midrule", *body,
             r"\bottomrule", r"\end{tabular}"]
    return "\n".join([f"% {LEGEND}", f"% {SPREAD}", *lines]) + "\n"


def _rows(
    tables: Sequence[Table], cell: Callable[[str, str, bool], str], special: Mapping[str, str]
) -> Iterator[list[str]]:
    """All cells, padded to the width of their column: words to the left, numbers to the right.

    `cell` gets a mean, " ± its spread" or nothing, and whether it is the best; `special` says how letters are written.
    """
    def write(words: str) -> str:
        return words.translate(str.maketrans(dict(special)))

    rows = [["metric", "method", *map(write, tables[0].columns)]]
    rows += [["images", "", *map(str, made.images)] for made in tables if made.images]
    for name, metric in METRICS.items():
        title = write(metric.title)
        for made in tables:
            for method, means in made.means.get(name, {}).items():
                intervals = made.intervals[name][method] if made.intervals else [None] * len(means)
                spreads = [f" ± {metric.show((i[1] - i[0]) / 2)}" if i and math.isfinite(i[1]) else ""
                           for i in intervals]
                cells = [cell(write(metric.show(mean)), write(spread), method in made.best(name, i))
                         for i, (mean, spread) in enumerate(zip(means, spreads, strict=True))]
                rows.append([title, write(method), *cells])
                title = ""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = [str.ljust, str.ljust] + [str.rjust] * len(tables[0].columns)
    return ([side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)] for row in rows)
