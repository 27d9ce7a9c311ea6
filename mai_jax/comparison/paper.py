"""The numbers that the paper prints, from the files in docs/."""

import json
from pathlib import Path
from typing import NamedTuple

from mai_jax.evaluation import ratio_bins, table4


class Paper(NamedTuple):
    """`table4` is None for photographs that the paper does not measure, `edges` are those of its bins; a method's
    `ms_per_image` has parts to add.
    """

    table4: table4.Table | None
    edges: list[float]
    ms_per_image: dict[str, list[float]]
    device: str


def read(docs: Path, dataset: str) -> Paper:
    """What the paper says of the methods on `dataset`: places2, celeba or paris_streetview."""
    fourth, fifth = (json.loads((docs / f"table{n}_paper.json").read_text()) for n in (4, 5))
    table = None
    if dataset in fourth["datasets"]:
        columns = tuple(ratio_bins.label(*bounds) for bounds in fourth["bins"])
        values = fourth["datasets"][dataset]
        means = {metric: {f"{method}, paper": row for method, row in values[metric].items()}
                 for metric in table4.PAPERS}
        table = table4.Table(columns, (), means)
    edges = sorted({edge for bounds in fourth["bins"] for edge in bounds})
    return Paper(table, edges, fifth["ms_per_image"], fifth["device"])
