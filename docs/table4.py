"""Writes docs/table4.md: Table 4 of the paper, and our own numbers in its bins where records of them are given.

`python docs/table4.py`
`python docs/table4.py --ours places2 runs/places2/records.jsonl "default protocol, step 3,000,000"`, once per data set
"""

import argparse
import dataclasses
import json
from pathlib import Path

from mai_jax.evaluation import ratio_bins, table4

HERE = Path(__file__).parent
PAPER = json.loads((HERE / "table4_paper.json").read_text())
COLUMNS = tuple(ratio_bins.label(*bounds) for bounds in PAPER["bins"])
INTRODUCTION = """\
# Table 4

Made by `python docs/table4.py` from [table4_paper.json](table4_paper.json): the numbers as the paper prints them, under
"MAI" its "Ours". Its protocol is not said: raw or completed image, colours or grey, the window of SSIM, the rounding.
EdgeConnect's script (grey, a uniform window of 51 px) gives identical pixels an SSIM 0.02 to 0.035 above the usual
Gaussian window, and the paper's SSIM would fit it. So rows that were measured differently do not compete.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ours", nargs=3, action="append", default=[], metavar=("DATASET", "RECORDS", "PROTOCOL"),
                        help=f"{', '.join(PAPER['datasets'])}; its records.jsonl; how they were measured, in words")
    parser.add_argument("--output", type=Path, default=HERE / "table4.md")
    given = parser.parse_args()
    ours = {dataset: (Path(records), protocol) for dataset, records, protocol in given.ours}
    if odd := ours.keys() - PAPER["datasets"].keys():
        parser.error(f"--ours {min(odd)}: the data sets are {', '.join(PAPER['datasets'])}")
    sections = [section(dataset, *ours.get(dataset, ())) for dataset in PAPER["datasets"]]
    given.output.write_text("\n".join([INTRODUCTION, *sections]))


def section(dataset: str, records: Path | None = None, protocol: str = "") -> str:
    """One data set: under each metric the paper's rows, then ours."""
    values = PAPER["datasets"][dataset]
    tables = [table4.Table(COLUMNS, (), {metric: values[metric] for metric in table4.PAPERS})]
    title = f"## {values['title']}\n"
    if records is not None:
        ours = measured(records)
        title += f"\nOurs: {protocol}; {' / '.join(map(str, ours.images))} images in the three bins.\n"
        tables.append(dataclasses.replace(ours, images=()))
    return f"{title}\n{table4.markdown(*tables)}"


def measured(path: Path) -> table4.Table:
    """Our own numbers in the paper's bins."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    edges = sorted({edge for bounds in PAPER["bins"] for edge in bounds})
    return table4.table(records, edges, "MAI, ours").only(COLUMNS)


if __name__ == "__main__":
    main()
