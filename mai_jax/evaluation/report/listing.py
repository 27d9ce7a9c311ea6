"""The evaluations below a folder as a table: one row each, with the means over all pairs inside the hole ratio bins."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from mai_jax.errors import InputError
from mai_jax.evaluation.report import result_files, table4
from mai_jax.evaluation.report.table4 import METRICS

FACTS = ("method", "step", "protocol", "pairs")  # fields of a result


def table(folder: Path, evaluations: Sequence[Path] | None = None) -> str:
    """Return one line per evaluation below `folder`, by default all in the order of their paths.

    Raises InputError if there is none, or if one is damaged.
    """
    rows = [_row(path, folder) for path in (find(folder) if evaluations is None else evaluations)]
    if not rows:
        raise InputError(f"{folder}: holds no evaluation ({result_files.RESULT}); mai evaluate writes one")
    shown = [metric for metric in METRICS if any(metric in row for row in rows)]
    titles = {"evaluation": "evaluation", **{name: name for name in FACTS},
              **{name: METRICS[name].title for name in shown}}  # fmt: skip
    if any("fid" in row for row in rows):
        titles["fid"] = "FID ↓"
    lines = [list(titles.values()), *([row.get(name, "-") for name in titles] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    words = 1 + FACTS.index("pairs")  # columns of words, which are left-aligned
    return "\n".join("  ".join(cell.ljust(width) if i < words else cell.rjust(width)
                               for i, (cell, width) in enumerate(zip(line, widths, strict=True))).rstrip()
                     for line in lines)  # fmt: skip


def find(folder: Path) -> list[Path]:
    """Return the folders with an evaluation, `folder` or below, sorted, numbers by their value.

    Checkpoints are not searched.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the folder of a run, or one above several")
    return sorted(_walk(folder), key=lambda path: [
        part.zfill(20) if part.isdecimal() else part for part in re.split(r"(\d+)", str(path))])


def _walk(folder: Path) -> Iterator[Path]:
    for current, inner, files in os.walk(folder):
        inner[:] = [name for name in inner if name != "checkpoints"]
        if result_files.RESULT in files:
            yield Path(current)


def means(path: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the result of the evaluation in a folder, and the mean of each metric over all pairs inside the bins.

    Raises InputError if the folder holds no evaluation.
    """
    _, result, records = result_files.read(path)
    try:
        *_, inside = table4.by_column(records, result["edges"])
        columns = {metric: table4.numbers(inside, metric, None) for metric in METRICS}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: holds no evaluation ({error!r}); remove it or evaluate again") from error
    return result, {metric: fmean(values) for metric, values in columns.items() if values}


def _row(path: Path, root: Path) -> dict[str, str]:
    """Return the cells of an evaluation by column."""
    result, by_metric = means(path)
    row = {"evaluation": str(path.relative_to(root))} | {name: str(result.get(name, "-")) for name in FACTS}
    row |= {name: METRICS[name].format(mean) for name, mean in by_metric.items()}
    return row | ({"fid": f"{result['fid']:.2f}"} if isinstance(result.get("fid"), float) else {})
