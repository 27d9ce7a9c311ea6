"""Write docs/table4.md: Table 4 of the paper, and results of this package in its bins if their records are given.

python -m tools.paper_table4
python -m tools.paper_table4 --ours places2 RECORDS "default protocol, step 3,000,000"

RECORDS is records.jsonl of an evaluation, such as runs/places2/evaluations/step3000000/records.jsonl. `--ours` may be
given once per dataset.
"""

import argparse
import dataclasses
import json
from importlib import resources
from pathlib import Path

from mai_jax.evaluation import ratio_bins
from mai_jax.evaluation.report import table4

DOCS = Path(__file__).parents[1] / "docs"
PAPER = json.loads((resources.files("mai_jax.compare") / "table4_paper.json").read_text())
COLUMNS = tuple(ratio_bins.label(*bounds) for bounds in PAPER["bins"])
INTRODUCTION = """\
# Table 4

Written by `python -m tools.paper_table4` from `mai_jax/compare/table4_paper.json`: the values as
published, with "Ours" of the paper as "MAI". The paper does not state its protocol: raw or completed images, RGB or
grey, the window of SSIM, the rounding. For the same pixels, EdgeConnect's script (grey, uniform window of 51 px) yields
an SSIM that is 0.02 to 0.035 higher than with the usual Gaussian window, which is consistent with the SSIM of the
paper. Rows of different protocols are not comparable.
"""


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ours", nargs=3, action="append", default=[], metavar=("DATASET", "RECORDS", "PROTOCOL"),
                        help=f"{', '.join(PAPER['datasets'])}; its records.jsonl; the protocol, in words")
    parser.add_argument("--output", type=Path, default=DOCS / "table4.md")
    given = parser.parse_args()
    ours = {dataset: (Path(records), protocol) for dataset, records, protocol in given.ours}
    if odd := ours.keys() - PAPER["datasets"].keys():
        parser.error(f"--ours {min(odd)}: the data sets are {', '.join(PAPER['datasets'])}")
    sections = [section(dataset, *ours.get(dataset, ())) for dataset in PAPER["datasets"]]
    given.output.write_text("\n".join([INTRODUCTION, *sections]))


def section(dataset: str, records: Path | None = None, protocol: str = "") -> str:
    """Return the section of one dataset: for each metric the rows of the paper, then those of this package."""
    values = PAPER["datasets"][dataset]
    tables = [table4.Table(COLUMNS, (), {metric: values[metric] for metric in table4.PAPER_METRICS})]
    title = f"## {values['title']}\n"
    if records is not None:
        table = table_of_records(records)
        title += f"\nThis package: {protocol}; {' / '.join(map(str, table.images))} images in the three bins.\n"
        tables.append(dataclasses.replace(table, images=()))
    return f"{title}\n{table4.markdown(*tables)}"


def table_of_records(path: Path) -> table4.Table:
    """Return the table of a records.jsonl in the bins of the paper."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    edges = sorted({edge for bounds in PAPER["bins"] for edge in bounds})
    return table4.table(records, edges, "MAI, this package").only(COLUMNS)


if __name__ == "__main__":
    main()
