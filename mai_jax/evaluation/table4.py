"""The paper's Table 4 from the records of an evaluation: metric by method down, share of hole across.

A record is one image: {"id": str, "hole_ratio": float, "ssim": float, "psnr": float, "l1": float, "<other method>":
{"ssim": float, "psnr": float, "l1": float}}. The numbers on its top level are the method's own; every key that holds a
dict is one more method, the same ones in every record. Units are the paper's: PSNR in dB, l1 as a fraction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

from mai_jax.evaluation.ratio_bins import bin_of, label

Record = Mapping[str, Any]
Means = tuple[float | None, ...]


class Metric(NamedTuple):
    title: str
    decimals: int


METRICS = {"ssim": Metric("SSIM ↑", 4), "psnr": Metric("PSNR ↑", 2), "l1": Metric("mean l1 ↓", 5)}
LEGEND = "↑ higher is better, ↓ lower is better. Columns: share of the image that is hole. Rows: means over images."


@dataclass(frozen=True)
class Table:
    """`means[metric][method]` holds one number per column, None where the column has no image."""

    columns: tuple[str, ...]  # the bins, then "all"
    images: tuple[int, ...]  # how many images a column counts
    means: dict[str, dict[str, Means]]


def table(records: Sequence[Record], edges: Sequence[float], method: str = "MAI") -> Table:
    """Means per ratio bin, and over all records, those outside every bin included. `method` names the records' own.

    An image that was restored exactly has an infinite PSNR, and then so has the mean of its column.
    """
    places = [bin_of(record["hole_ratio"], edges) for record in records]
    groups = [[record for record, place in zip(records, places, strict=True) if place == i]
              for i in range(len(edges) - 1)]
    groups.append(list(records))
    others = [key for key, value in records[0].items() if isinstance(value, Mapping)] if records else []

    def means(metric: str, key: str | None) -> Means:
        values = [[float((record[key] if key else record)[metric]) for record in group] for group in groups]
        return tuple(fmean(column) if column else None for column in values)

    return Table(
        columns=(*map(label, edges, edges[1:]), "all"),
        images=tuple(map(len, groups)),
        means={metric: {method: means(metric, None)} | {key.replace("_", " "): means(metric, key) for key in others}
               for metric in METRICS},
    )


def markdown(made: Table) -> str:
    """The table for a document."""
    head, *body = ("| " + " | ".join(row) + " |" for row in _aligned(made))
    rule = "".join("|" if letter == "|" else "-" for letter in head)
    return "\n".join([head, rule, *body, "", LEGEND]) + "\n"


def text(made: Table) -> str:
    """The table for a terminal."""
    return "\n".join([*("  ".join(row) for row in _aligned(made)), LEGEND]) + "\n"


def _aligned(made: Table) -> list[list[str]]:
    """All cells, padded to the width of their column: words to the left, numbers to the right."""
    rows = [["metric", "method", *made.columns], ["images", "", *map(str, made.images)]]
    for metric, methods in made.means.items():
        title, decimals = METRICS[metric]
        for method, means in methods.items():
            rows.append([title, method, *("-" if mean is None else f"{mean:.{decimals}f}" for mean in means)])
            title = ""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = [str.ljust, str.ljust] + [str.rjust] * len(made.columns)
    return [[side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)] for row in rows]
