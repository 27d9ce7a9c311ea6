"""Table 4 of the paper from the records of an evaluation: rows of metrics and methods, columns of hole ratio bins.

A record is one pair of image and hole: {"id": str, "hole_ratio": float, "ssim": float, "psnr": float, "l1": float,
"<other method>": {"ssim": float, ...}}. Metrics on its top level are those of the evaluated method, the primary one;
every key whose value is a dict is another method on the same pair. PSNR is in dB, l1 a fraction, as in the paper.

A dash means that there is no value: the column has no images, or a record lacks the metric. A mean over the remaining
records would be of other images than the other rows of the table.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, NamedTuple

from mai_jax.errors import InputError
from mai_jax.evaluation import statistics
from mai_jax.evaluation.ratio_bins import bin_of, label

Record = Mapping[str, Any]
Interval = tuple[float, float]


class Metric(NamedTuple):
    """Name, precision and direction of a metric in tables."""

    name: str
    decimals: int
    higher_is_better: bool

    @property
    def title(self) -> str:
        """Return the name with an arrow that points in the better direction."""
        return f"{self.name} {'↑' if self.higher_is_better else '↓'}"

    def format(self, value: float | None) -> str:
        """Return a value as text."""
        if value is None:
            return "-"
        return "∞" if value == math.inf else f"{value:.{self.decimals}f}"

    def format_signed(self, value: float | None) -> str:
        """Return a difference as text, with its sign."""
        sign = "" if not value else "\N{MINUS SIGN}" if value < 0 else "+"
        return sign + self.format(value and abs(value))

    def significance(self, paired: statistics.Paired) -> int:
        """Return 1 for significantly better, -1 for significantly worse, 0 if the interval includes 0."""
        low, high = paired.interval or (0, 0)
        sign = (low > 0) - (high < 0)
        return sign if self.higher_is_better else -sign


PAPER_METRICS = {
    "ssim": Metric("SSIM", 4, higher_is_better=True),
    "psnr": Metric("PSNR", 2, higher_is_better=True),
    "l1": Metric("mean l1", 5, higher_is_better=False),
}
METRICS = PAPER_METRICS | {  # the additional ones have rows if the records contain them
    "hole_psnr": Metric("hole PSNR", 2, higher_is_better=True),
    "hole_l1": Metric("hole l1", 5, higher_is_better=False),
    "lpips": Metric("LPIPS", 4, higher_is_better=False),
    "lpips_alex": Metric("LPIPS (AlexNet)", 4, higher_is_better=False),
}
LEGEND = "↑ higher is better, ↓ lower is better. Columns: hole ratio. Rows: means over images."
SPREAD = "± half the width of the mean's 95 % bootstrap interval. Bold: the best of a column."

MARKDOWN_SPECIAL = {c: f"\\{c}" for c in "\\`*_|<["}
LATEX_SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "∞": r"$\infty$", "±": r"$\pm$",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A table of means and intervals: `means[metric][method]` has one value per column, None for a dash.

    `notes` are sentences below the table.
    """

    columns: tuple[str, ...]
    images: tuple[int, ...]  # number of images per column; () if unknown
    means: dict[str, dict[str, Sequence[float | None]]]
    intervals: dict[str, dict[str, Sequence[Interval | None]]] = field(default_factory=dict)  # {} if unknown
    notes: tuple[str, ...] = ()

    def only(self, columns: Sequence[str]) -> "Table":
        """Return the table with a subset of its columns, without notes, which are about all of them."""
        indices = [self.columns.index(column) for column in columns]

        def pick(rows: dict[str, dict[str, Sequence[Any]]]) -> dict[str, dict[str, Sequence[Any]]]:
            return {metric: {method: tuple(row[i] for i in indices) for method, row in methods.items()}
                    for metric, methods in rows.items()}

        images = tuple(self.images[i] for i in indices)
        return Table(tuple(columns), images, pick(self.means), pick(self.intervals))

    def best(self, metric: str, column: int) -> set[str]:
        """Return the methods with the best mean after rounding; none if fewer than two methods have a mean."""
        _, decimals, higher_is_better = METRICS[metric]
        rounded = {method: round(mean, decimals) for method, means in self.means[metric].items()
                   if (mean := means[column]) is not None}
        if len(rounded) < 2:
            return set()
        best = (max if higher_is_better else min)(rounded.values())
        return {method for method, mean in rounded.items() if mean == best}


def table(records: Sequence[Record], edges: Sequence[float], method: str = "MAI") -> Table:
    """Return the means per hole ratio bin, and over the records of all bins.

    `method` is the name of the primary method. Notes count the records outside the bins, which are in no column, and
    those of identical images, whose infinite PSNR makes the mean of their column infinite. Raises InputError if two
    methods have the same name.
    """
    keys, groups = methods(records, method), by_column(records, edges)
    ids = [[str(record["id"]) for record in group] for group in groups]
    means: dict[str, dict[str, Sequence[float | None]]] = {}
    intervals: dict[str, dict[str, Sequence[Interval | None]]] = {}
    for metric in measured(records):
        columns = {name: [numbers(group, metric, key) for group in groups] for name, key in keys.items()}
        means[metric] = {name: tuple(fmean(values) if values else None for values in column)
                         for name, column in columns.items()}
        intervals[metric] = {name: tuple(statistics.interval(values, image_ids) if values else None
                                         for values, image_ids in zip(column, ids, strict=True))
                             for name, column in columns.items()}
    return Table((*map(label, edges, edges[1:]), "all"), tuple(map(len, groups)), means, intervals,
                 (*_outside_notes(records, edges), *_infinite_notes(groups[-1], keys)))


def _outside_notes(records: Sequence[Record], edges: Sequence[float]) -> Iterator[str]:
    """Yield a sentence if records lie outside the bins."""
    outside = [record["hole_ratio"] for record in records if bin_of(record["hole_ratio"], edges) is None]
    if outside:
        ratios = " to ".join(f"{ratio:.4g}" for ratio in sorted({min(outside), max(outside)}))
        yield f"{len(outside)} of {len(records)} pairs lie outside the bins (hole ratio {ratios}) and are in no column."


def _infinite_notes(records: Sequence[Record], keys: Mapping[str, str | None]) -> Iterator[str]:
    """Yield a sentence for each metric that is infinite in some records, with the number of them by method."""
    for metric in ("psnr", "hole_psnr"):
        values = {name: numbers(records, metric, key) or [] for name, key in keys.items()}
        counts = {name: column.count(math.inf) for name, column in values.items() if math.inf in column}
        if counts:
            listed = ", ".join(f"{name} {count}" for name, count in counts.items())
            yield (f"Pairs with infinite {METRICS[metric].name}, because the image equals its truth: {listed} (of "
                   f"{len(records)}). The mean of their column is infinite.")


def differences(
    records: Sequence[Record], edges: Sequence[float], method: str = "MAI"
) -> dict[str, dict[str, tuple[statistics.Paired | None, ...]]]:
    """Return the paired differences of the primary method minus each other, by metric and other method.

    The columns are those of `table`. None if a column has no images or a record lacks the metric.
    """
    groups = by_column(records, edges)
    (_, *others) = methods(records, method).items()

    def compare(group: list[Record], metric: str, key: str | None) -> statistics.Paired | None:
        primary, other = numbers(group, metric, None), numbers(group, metric, key)
        if not primary or not other:
            return None
        pairs = [(str(record["id"]), i) for i, record in enumerate(group)]
        return statistics.paired(dict(zip(pairs, primary, strict=True)), dict(zip(pairs, other, strict=True)),
                                 higher_is_better=METRICS[metric].higher_is_better)

    return {metric: {name: tuple(compare(group, metric, key) for group in groups) for name, key in others}
            for metric in measured(records)}


def by_column(records: Sequence[Record], edges: Sequence[float]) -> list[list[Record]]:
    """Return the records of each bin, then those of all bins in their order."""
    bins = [bin_of(record["hole_ratio"], edges) for record in records]
    groups = [[record for record, bin_index in zip(records, bins, strict=True) if bin_index == i]
              for i in range(len(edges) - 1)]
    return [*groups, [record for record, bin_index in zip(records, bins, strict=True) if bin_index is not None]]


def measured(records: Sequence[Record]) -> list[str]:
    """Return the metrics to show: those of the paper, and those that a record contains."""
    return [metric for metric in METRICS if metric in PAPER_METRICS or any(metric in record for record in records)]


def methods(records: Sequence[Record], method: str) -> dict[str, str | None]:
    """Return the key in the records by method name; the primary method comes first and has the key None."""
    keys = dict.fromkeys(key for record in records for key, value in record.items() if isinstance(value, Mapping))
    names: dict[str, str | None] = {method: None}
    for key in keys:
        name = key.replace("_", " ")
        if name in names:
            raise InputError(f"{name!r} is the name of two methods in one table: rename one of them")
        names[name] = key
    return names


def numbers(group: Sequence[Record], metric: str, key: str | None) -> list[float] | None:
    """Return a metric of one method in all records; None if a record lacks it."""
    values: list[Any] = [(record if key is None else record.get(key, {})).get(metric) for record in group]
    return None if None in values else [float(value) for value in values]


def text(table: Table) -> str:
    """Return the table as plain text, for a terminal."""
    rows = _rows([table], lambda shown, spread, best: shown, {})
    return "\n".join([*("  ".join(row) for row in rows), LEGEND, *table.notes]) + "\n"


def markdown(*tables: Table) -> str:
    """Return the table in Markdown, with intervals.

    Several tables with the same columns are merged metric by metric. The best values are marked in each table
    separately, because values of different sources are not comparable.
    """
    def cell(shown: str, spread: str, best: bool) -> str:
        return (f"**{shown}**" if best else shown) + spread

    head, *body = ("| " + " | ".join(row) + " |" for row in _rows(tables, cell, MARKDOWN_SPECIAL))
    rule = "".join("|" if letter == "|" else "-" for letter in head)
    notes = [_escape(note, MARKDOWN_SPECIAL) for table in tables for note in table.notes]
    return "\n".join([head, rule, *body, "", LEGEND, SPREAD, *notes]) + "\n"


def latex(*tables: Table) -> str:
    r"""Return the same in LaTeX, for \usepackage{booktabs}."""
    def cell(shown: str, spread: str, best: bool) -> str:
        return (rf"\textbf{{{shown}}}" if best else shown) + (rf"{{\scriptsize{spread}}}" if spread else "")

    head, *body = (" & ".join(row) + r" \\" for row in _rows(tables, cell, LATEX_SPECIAL))
    for i, row in enumerate(body[1:], 1):
        body[i] = row if row.startswith(" ") else "\\addlinespace\n" + row
    lines = [rf"\begin{{tabular}}{{ll{'r' * len(tables[0].columns)}}}", r"\toprule", head, r"\midrule", *body,
             r"\bottomrule", r"\end{tabular}"]
    notes = [f"% {note}" for table in tables for note in table.notes]
    return "\n".join([f"% {LEGEND}", f"% {SPREAD}", *notes, *lines]) + "\n"


def _rows(
    tables: Sequence[Table], cell: Callable[[str, str, bool], str], special: Mapping[str, str]
) -> Iterator[list[str]]:
    """Yield the rows of cells, padded to the width of their column: words left-aligned, numbers right-aligned.

    `cell` formats a mean, its spread (" ± ..." or empty) and whether it is the best; `special` maps characters to their
    escaped form.
    """
    def escape(words: str) -> str:
        return _escape(words, special)

    rows = [["metric", "method", *map(escape, tables[0].columns)]]
    rows += [["images", "", *map(str, table.images)] for table in tables if table.images]
    for name, metric in METRICS.items():
        title = escape(metric.title)
        for table in tables:
            for method, means in table.means.get(name, {}).items():
                intervals = table.intervals[name][method] if table.intervals else [None] * len(means)
                spreads = [f" ± {metric.format((i[1] - i[0]) / 2)}" if i and math.isfinite(i[1]) else ""
                           for i in intervals]
                cells = [cell(escape(metric.format(mean)), escape(spread), method in table.best(name, i))
                         for i, (mean, spread) in enumerate(zip(means, spreads, strict=True))]
                rows.append([title, escape(method), *cells])
                title = ""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    align = [str.ljust, str.ljust] + [str.rjust] * len(tables[0].columns)
    return ([pad(cell, width) for pad, cell, width in zip(align, row, widths, strict=True)] for row in rows)


def _escape(words: str, special: Mapping[str, str]) -> str:
    return words.translate({ord(letter): escaped for letter, escaped in special.items()})
