"""The values of Tables 4 and 5 of the paper, from table4_paper.json and table5_paper.json."""

import json
from importlib import resources
from typing import NamedTuple

from mai_jax.evaluation import ratio_bins
from mai_jax.evaluation.report import table4


class Paper(NamedTuple):
    """Published values.

    `table4` is None for a dataset that the paper does not use. `edges` are those of its ratio bins. `ms_per_image` has
    one value per separately trained stage of a method, to be added.
    """

    table4: table4.Table | None
    edges: list[float]
    ms_per_image: dict[str, list[float]]
    device: str


def read(dataset: str) -> Paper:
    """Return the published values for `dataset`, which the paper calls places2, celeba or paris_streetview."""
    folder = resources.files("mai_jax.compare")
    fourth, fifth = (json.loads((folder / f"table{n}_paper.json").read_text()) for n in (4, 5))
    table = None
    if dataset in fourth["datasets"]:
        columns = tuple(ratio_bins.label(*bounds) for bounds in fourth["bins"])
        values = fourth["datasets"][dataset]
        means = {metric: {f"{method}, paper": row for method, row in values[metric].items()}
                 for metric in table4.PAPER_METRICS}
        table = table4.Table(columns, (), means)
    edges = sorted({edge for bounds in fourth["bins"] for edge in bounds})
    return Paper(table, edges, fifth["ms_per_image"], fifth["device"])
