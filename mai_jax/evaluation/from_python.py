"""Evaluation as a function call, for other programs: nothing is written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from mai_jax.config import Config
from mai_jax.errors import InputError
from mai_jax.evaluation import eval_target, evaluator
from mai_jax.evaluation.evaluator import MetricSet, Record
from mai_jax.evaluation.protocols import PROTOCOLS
from mai_jax.evaluation.report import table4
from mai_jax.evaluation.report.table4 import Table


class Evaluation(NamedTuple):
    """The result of `evaluate`: one record per photograph and hole, and their means. `str` gives the table as text.

    A record holds `id`, `hole`, `pair` (a digest of the pixels), `hole_ratio` and one number per metric.
    `table.means[metric][name]` has one mean per entry of `table.columns`: the hole ratio bins, then "all".
    """

    records: list[Record]
    table: Table

    def __str__(self) -> str:
        return table4.text(self.table)


def evaluate(
    method: str | Path | Callable[..., Any], config: Config | None = None, *, step: int | None = None,
    data: str | None = None, holes: str | None = None, protocol: str = "default",
) -> Evaluation:  # fmt: skip
    """Return metrics of a run, or of any function that fills holes, on held-out photographs.

    `method` is the folder of a run, of which the newest checkpoint, or that of `step`, is measured; or a function from
    photographs, uint8 [b, h, w, 3], and holes, bool [b, h, w] with True in the hole, to predictions [b, h, w, 3], uint8
    or float in [0, 1]. A function needs a `config`, which names photographs, holes and image size; a run has its own.

    `data` names other test photographs: a folder or a named source. `holes` is a manifest of `mai masks`, `protocol` a
    key of `PROTOCOLS`. Raises InputError if one of these cannot be used.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"protocol={protocol!r}: no such protocol; there are {', '.join(PROTOCOLS)}")
    if not callable(method):
        if config is not None:
            raise InputError(f"config: {method} has its own; give config with a function only")
        target = eval_target.checkpoint(Path(method), step, data, holes)
    elif config is None:
        raise InputError("config: is missing; a function needs one, for the photographs, the holes and their size")
    else:
        target = eval_target.function(lambda *batch: method(*batch)[None], config, data, holes)
    records = evaluator.evaluate(
        target.dataset, MetricSet(PROTOCOLS[protocol]), target.predict, {}, target.batch_size, best_row=target.best_row)
    return Evaluation(records, table4.table(records, target.edges, target.row))
