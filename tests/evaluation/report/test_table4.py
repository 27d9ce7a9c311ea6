"""Tables of records with known means, and the published values against the statements in the text of the paper."""

import json
import math
import re
import runpy
from importlib import resources
from pathlib import Path
from statistics import fmean

import pytest

from mai_jax.errors import InputError
from mai_jax.evaluation.report import table4

DOCS = Path(__file__).parents[3] / "docs"
EDGES = (0.1, 0.2, 0.3, 0.4)


def record(ratio, psnr, baseline_psnr=10.0):
    primary = {"ssim": psnr / 100, "psnr": psnr, "l1": 1 / psnr}
    return {"id": f"{psnr}", "hole_ratio": ratio, **primary,
            "mean_colour": {"ssim": 0.5, "psnr": baseline_psnr, "l1": 0.125}}


RECORDS = [record(0.2, 30.0), record(0.15, 20.0, 12.0), record(0.35, 16.0), record(0.9, 6.0)]


@pytest.fixture
def unit_intervals(monkeypatch):
    """Set every interval to mean ± 1, so that the output does not depend on the bootstrap."""
    monkeypatch.setattr(table4.statistics, "interval", lambda values, ids: (fmean(values) - 1, fmean(values) + 1))


def test_means_by_bin_and_over_all():
    table = table4.table(RECORDS, EDGES)
    assert table.columns == ("(.1,.2]", "(.2,.3]", "(.3,.4]", "all")
    assert table.images == (2, 0, 1, 3)
    assert table.means["psnr"] == {"MAI": (25, None, 16, 22), "mean colour": (11, None, 10, fmean((10, 12, 10)))}
    assert table.means["ssim"]["MAI"][0] == pytest.approx(0.25)
    assert table4.table(RECORDS[::-1], EDGES).means == table.means


def test_every_mean_is_in_its_interval():
    low, high = table4.table(RECORDS, EDGES).intervals["psnr"]["MAI"][3]
    assert 16 <= low < 22 < high <= 30


def test_pairs_outside_the_bins_are_counted_and_in_no_column():
    """A mask without a hole makes every result perfect."""
    copy = {**record(0.0, 30.0, "inf"), "psnr": "inf"}
    table = table4.table([*RECORDS, copy], EDGES)
    assert table.means == table4.table(RECORDS[:3], EDGES).means and table.images == (2, 0, 1, 3)
    assert table.notes == ("2 of 5 pairs lie outside the bins (hole ratio 0 to 0.9) and are in no column.",)
    assert all(table.notes[0] in render(table) for render in (table4.text, table4.markdown, table4.latex))
    assert table4.table([copy], EDGES).notes[0].startswith("1 of 1 pairs lie outside the bins (hole ratio 0) and")
    assert table4.table([copy], EDGES).means["psnr"] == {"MAI": (None,) * 4, "mean colour": (None,) * 4}
    assert table4.differences([*RECORDS, copy], EDGES) == table4.differences(RECORDS[:3], EDGES)


def test_markdown_has_the_layout_of_the_paper(unit_intervals):
    assert table4.markdown(table4.table(RECORDS[1:2], EDGES[:3], "PIC|2")) == f"""\
| metric    | method      |               (.1,.2] | (.2,.3] |                   all |
|-----------|-------------|-----------------------|---------|-----------------------|
| images    |             |                     1 |       0 |                     1 |
| SSIM ↑    | PIC\\|2      |       0.2000 ± 1.0000 |       - |       0.2000 ± 1.0000 |
|           | mean colour |   **0.5000** ± 1.0000 |       - |   **0.5000** ± 1.0000 |
| PSNR ↑    | PIC\\|2      |      **20.00** ± 1.00 |       - |      **20.00** ± 1.00 |
|           | mean colour |          12.00 ± 1.00 |       - |          12.00 ± 1.00 |
| mean l1 ↓ | PIC\\|2      | **0.05000** ± 1.00000 |       - | **0.05000** ± 1.00000 |
|           | mean colour |     0.12500 ± 1.00000 |       - |     0.12500 ± 1.00000 |

{table4.LEGEND}
{table4.SPREAD}
"""


def test_text_has_the_values_of_the_markdown():
    table = table4.table(RECORDS[:3], EDGES)
    plain = re.sub(r" ± [\d.]+|\*\*|\|", "", table4.markdown(table)).splitlines()
    head, _, *body = (line.split() for line in plain)
    assert [line.split() for line in table4.text(table).splitlines()][:8] == [head, *body][:8]
    head, *body = table4.text(table).splitlines()[:-1]
    assert {len(line) for line in body} == {len(head)}


def test_latex(unit_intervals):
    lines = table4.latex(table4.table(RECORDS[1:3], EDGES, "A_1 & 50%")).splitlines()
    assert lines[2:4] == [r"\begin{tabular}{llrrrr}", r"\toprule"]
    body = "\n".join(lines[5:])
    assert re.search(r"\\addlinespace\nPSNR \$\\uparrow\$ +& A\\_1 \\& 50\\% +& +"
                     r"\\textbf\{20.00\}\{\\scriptsize \$\\pm\$ 1.00\} & +- &.*\\\\\n", body)
    assert body.endswith("\\bottomrule\n\\end{tabular}")
    assert {line.count("&") - line.count(r"\&") for line in lines if line.endswith(r"\\")} == {5}


def test_the_best_depends_on_the_direction_and_rounding_and_needs_two_methods():
    table = table4.table(RECORDS, EDGES)
    assert [table.best("psnr", i) for i in range(4)] == [{"MAI"}, set(), {"MAI"}, {"MAI"}]
    assert table.best("l1", 0) == {"MAI"} and table.best("ssim", 0) == {"mean colour"}
    tied = table4.table([record(0.2, 10.001)], EDGES)
    assert tied.best("psnr", 0) == {"MAI", "mean colour"}
    single = [{k: v for k, v in r.items() if k != "mean_colour"} for r in RECORDS]
    assert table4.table(single, EDGES).best("psnr", 0) == set()


def test_missing_values_are_dashes_and_infinity_is_a_symbol():
    empty = table4.table([], EDGES)
    assert empty.means["psnr"] == {"MAI": (None,) * 4}
    identical = [record(0.2, 30.0), {**record(0.35, 31.0), "psnr": "inf"}]  # infinity in strict JSON
    table = table4.table(identical, EDGES)
    assert table.means["psnr"]["MAI"] == (30, None, math.inf, math.inf)
    assert table.intervals["psnr"]["MAI"] == (None, None, None, (30, math.inf))
    assert "± ∞" not in table4.markdown(table)
    for render in (table4.text, table4.markdown, table4.latex):
        assert not re.search(r"\b(nan|inf)\b", render(empty) + render(table))
        assert r"\infty" in render(table) or "∞" in render(table)


def test_infinite_values_are_counted_by_method():
    records = [{**record(0.15, 30.0, "inf"), "hole_psnr": "inf"}, record(0.35, 31.0, "inf"), record(0.35, 20.0)]
    table = table4.table(records, EDGES, "A_1")
    assert table.notes == ("Pairs with infinite PSNR, because the image equals its truth: mean colour 2 (of 3). The "
                           "mean of their column is infinite.",)
    records[1]["hole_psnr"], records[2]["hole_psnr"] = 3.0, 4.0
    records[2]["psnr"] = "inf"
    psnr, hole_psnr = table4.table(records, EDGES, "A_1").notes
    assert "A_1 1, mean colour 2 (of 3)" in psnr and "hole PSNR" in hole_psnr and "A_1 1 (of 3)" in hole_psnr
    table = table4.table(records, EDGES, "A_1")
    assert r"A\_1 1, mean colour 2" in table4.markdown(table) and f"\n{psnr}\n" in table4.text(table)
    assert f"\n% {psnr}\n" in table4.latex(table)
    assert table4.table([record(0.15, 30.0)], EDGES).notes == () == table.only(["all"]).notes


def test_a_column_with_a_missing_value_shows_a_dash():
    records = [RECORDS[0], {**RECORDS[1], "lpips": 0.5}, {**RECORDS[2], "lpips": 0.25}]
    del records[2]["mean_colour"]
    table = table4.table(records, EDGES)
    assert table.means["lpips"] == {"MAI": (None, None, 0.25, None), "mean colour": (None,) * 4}
    assert table.means["psnr"]["mean colour"] == (11, None, None, None)
    assert "hole_psnr" not in table.means


def test_differences_are_primary_minus_other_per_image():
    paired = table4.differences(RECORDS, EDGES)
    two, none, one, every = paired["psnr"]["mean colour"]
    assert two.difference == (20 + 8) / 2 and two.interval == (8, 20) and two.won == 1
    assert none is None and one.difference == 6 and every.pairs == 3 and every.won == 1
    assert paired["l1"]["mean colour"][2].difference == pytest.approx(1 / 16 - 1 / 8)
    assert paired["l1"]["mean colour"][2].won == 1
    assert table4.differences([{**RECORDS[0], "psnr": None}], EDGES)["psnr"]["mean colour"] == (None,) * 4


def test_holes_of_one_photograph_are_not_independent():
    separate = [record(0.15, 10.0 + i) for i in range(12)]
    grouped = [{**r, "id": f"{i // 4}"} for i, r in enumerate(separate)]
    (a, b), (c, d) = (table4.table(r, EDGES).intervals["psnr"]["MAI"][0] for r in (separate, grouped))
    assert c < a < b < d
    assert table4.table(separate[:1], EDGES).intervals["psnr"]["MAI"][0] is None


def test_two_methods_with_one_name_are_rejected():
    with pytest.raises(InputError, match="'mean colour' is the name of two methods"):
        table4.table(RECORDS, EDGES, "mean colour")
    with pytest.raises(InputError, match="'mean colour' is the name of two methods"):
        table4.table([{**RECORDS[0], "mean colour": {}}], EDGES)


def test_a_subset_of_columns():
    table = table4.table(RECORDS, EDGES)
    picked = table.only(["all", "(.1,.2]"])
    assert picked.images == (3, 2) and picked.means["psnr"]["MAI"] == (22, 25)
    assert picked.intervals["psnr"]["MAI"] == table.intervals["psnr"]["MAI"][::-3]


# Where MAI is the best according to the text of the paper: all values of CelebA, all but one of Places2, some of Paris.
@pytest.mark.parametrize("dataset, lost", [
    ("celeba", set()),
    ("places2", {("l1", 0)}),
    ("paris_streetview", {("ssim", 0), ("ssim", 2), ("l1", 0)}),
])
def test_published_values_agree_with_the_text_of_the_paper(dataset, lost):
    paper = json.loads((resources.files("mai_jax.compare") / "table4_paper.json").read_text())
    table = table4.Table(("a", "b", "c"), (), {m: paper["datasets"][dataset][m] for m in table4.PAPER_METRICS})
    assert {(m, i) for m in table4.PAPER_METRICS for i in range(3) if table.best(m, i) != {"MAI"}} == lost


def test_the_document_is_up_to_date(tmp_path, monkeypatch):
    records = tmp_path / "records.jsonl"
    records.write_text("".join(json.dumps(r) + "\n" for r in RECORDS))

    def written(*flags):
        monkeypatch.setattr("sys.argv", ["table4.py", "--output", str(tmp_path / "written.md"), *flags])
        runpy.run_module("tools.paper_table4", run_name="__main__")
        return (tmp_path / "written.md").read_text()

    def rows(document):
        return [line.replace(" ", "") for line in document.splitlines() if line.startswith("| ")]

    assert set(rows(written())) <= set(rows((DOCS / "table4.md").read_text()))
    combined = written("--ours", "places2", str(records), "default protocol")
    assert "This package: default protocol; 2 / 1 / 0 images" in combined
    assert combined.count("MAI, this package") == 3 and set(rows(written())) <= set(rows(combined))
