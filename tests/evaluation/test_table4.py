"""The table against records small enough to average by hand, and the paper's own against what its text says of it."""

import json
import math
import re
import runpy
from pathlib import Path
from statistics import fmean

import pytest

from mai_jax.evaluation import table4
from mai_jax.types import InputError

DOCS = Path(__file__).parents[2] / "docs"
EDGES = (0.1, 0.2, 0.3, 0.4)


def record(ratio, psnr, floor_psnr=10.0):
    own = {"ssim": psnr / 100, "psnr": psnr, "l1": 1 / psnr}
    return {"id": f"{psnr}", "hole_ratio": ratio, **own, "mean_colour": {"ssim": 0.5, "psnr": floor_psnr, "l1": 0.125}}


RECORDS = [record(0.2, 30.0), record(0.15, 20.0, 12.0), record(0.35, 16.0), record(0.9, 6.0)]


@pytest.fixture
def one_apart(monkeypatch):
    """Every interval reaches 1 to both sides of the mean, so that rendering does not depend on the bootstrap."""
    monkeypatch.setattr(table4.statistics, "interval", lambda values, ids: (fmean(values) - 1, fmean(values) + 1))


def test_means_by_bin_and_over_all():
    made = table4.table(RECORDS, EDGES)
    assert made.columns == ("(.1,.2]", "(.2,.3]", "(.3,.4]", "all")
    assert made.images == (2, 0, 1, 4)
    assert made.means["psnr"] == {"MAI": (25, None, 16, 18), "mean colour": (11, None, 10, 10.5)}
    assert made.means["ssim"]["MAI"][0] == pytest.approx(0.25)
    assert table4.table(RECORDS[::-1], EDGES).means == made.means


def test_every_mean_lies_in_its_interval():
    low, high = table4.table(RECORDS, EDGES).intervals["psnr"]["MAI"][3]
    assert 6 <= low < 18 < high <= 30


def test_markdown_is_the_papers_table(one_apart):
    assert table4.markdown(table4.table(RECORDS[1:], EDGES[:3], "PIC|2")) == f"""\
| metric    | method      |               (.1,.2] | (.2,.3] |                   all |
|-----------|-------------|-----------------------|---------|-----------------------|
| images    |             |                     1 |       0 |                     3 |
| SSIM ↑    | PIC\\|2      |       0.2000 ± 1.0000 |       - |       0.1400 ± 1.0000 |
|           | mean colour |   **0.5000** ± 1.0000 |       - |   **0.5000** ± 1.0000 |
| PSNR ↑    | PIC\\|2      |      **20.00** ± 1.00 |       - |      **14.00** ± 1.00 |
|           | mean colour |          12.00 ± 1.00 |       - |          10.67 ± 1.00 |
| mean l1 ↓ | PIC\\|2      | **0.05000** ± 1.00000 |       - | **0.09306** ± 1.00000 |
|           | mean colour |     0.12500 ± 1.00000 |       - |     0.12500 ± 1.00000 |

{table4.LEGEND}
{table4.SPREAD}
"""


def test_text_has_the_means_of_the_document():
    made = table4.table(RECORDS, EDGES)
    plain = re.sub(r" ± [\d.]+|\*\*|\|", "", table4.markdown(made)).splitlines()
    head, _, *body = (line.split() for line in plain)
    assert [line.split() for line in table4.text(made).splitlines()][:8] == [head, *body][:8]
    head, *body = table4.text(made).splitlines()[:-1]
    assert {len(line) for line in body} == {len(head)}


def test_latex(one_apart):
    lines = table4.latex(table4.table(RECORDS[1:], EDGES, "A_1 & 50%")).splitlines()
    assert lines[2:4] == [r"\begin{tabular}{llrrrr}", r"\toprule"]
    body = "\n".join(lines[5:])
    assert re.search(r"\\addlinespace\nPSNR \$\\uparrow\$ +& A\\_1 \\& 50\\% +& +"
                     r"\\textbf\{20.00\}\{\\scriptsize \$\\pm\$ 1.00\} & +- &.*\\\\\n", body)
    assert body.endswith("\\bottomrule\n\\end{tabular}")
    assert {line.count("&") - line.count(r"\&") for line in lines if line.endswith(r"\\")} == {5}


def test_the_best_is_by_direction_as_shown_and_needs_a_rival():
    made = table4.table(RECORDS, EDGES)
    assert [made.best("psnr", i) for i in range(4)] == [{"MAI"}, set(), {"MAI"}, {"MAI"}]
    assert made.best("l1", 0) == {"MAI"} and made.best("ssim", 0) == {"mean colour"}
    level = table4.table([record(0.2, 10.001)], EDGES)
    assert level.best("psnr", 0) == {"MAI", "mean colour"}
    alone = [{k: v for k, v in r.items() if k != "mean_colour"} for r in RECORDS]
    assert table4.table(alone, EDGES).best("psnr", 0) == set()


def test_nothing_is_shown_as_a_dash_and_infinity_as_itself():
    empty = table4.table([], EDGES)
    assert empty.means["psnr"] == {"MAI": (None,) * 4}
    exact = [record(0.2, 30.0), {**record(0.35, 31.0), "psnr": "inf"}]  # as strict JSON has to write it
    made = table4.table(exact, EDGES)
    assert made.means["psnr"]["MAI"] == (30, None, math.inf, math.inf)
    assert made.intervals["psnr"]["MAI"] == (None, None, None, (30, math.inf))
    assert "± ∞" not in table4.markdown(made)
    for render in (table4.text, table4.markdown, table4.latex):
        assert "nan" not in render(empty) and "inf" not in render(made).replace(r"\infty", "")
        assert r"\infty" in render(made) or "∞" in render(made)


def test_a_column_that_lacks_a_number_shows_a_dash():
    records = [RECORDS[0], {**RECORDS[1], "lpips": 0.5}, {**RECORDS[2], "lpips": 0.25}]
    del records[2]["mean_colour"]
    made = table4.table(records, EDGES)
    assert made.means["lpips"] == {"MAI": (None, None, 0.25, None), "mean colour": (None,) * 4}
    assert made.means["psnr"]["mean colour"] == (11, None, None, None)
    assert "hole_psnr" not in made.means


def test_differences_are_own_minus_other_image_by_image():
    made = table4.differences(RECORDS, EDGES)
    two, none, one, every = made["psnr"]["mean colour"]
    assert two.difference == (20 + 8) / 2 and two.interval == (8, 20) and two.won == 1
    assert none is None and one.difference == 6 and every.pairs == 4 and every.won == 0.75
    assert made["l1"]["mean colour"][2].difference == pytest.approx(1 / 16 - 1 / 8)
    assert made["l1"]["mean colour"][2].won == 1
    assert table4.differences([{**RECORDS[0], "psnr": None}], EDGES)["psnr"]["mean colour"] == (None,) * 4


def test_the_holes_of_one_photograph_are_no_independent_evidence():
    apart = [record(0.15, 10.0 + i) for i in range(12)]
    together = [{**r, "id": f"{i // 4}"} for i, r in enumerate(apart)]
    (a, b), (c, d) = (table4.table(r, EDGES).intervals["psnr"]["MAI"][0] for r in (apart, together))
    assert c < a < b < d
    assert table4.table(apart[:1], EDGES).intervals["psnr"]["MAI"][0] is None


def test_two_methods_of_one_name_are_refused():
    with pytest.raises(InputError, match="'mean colour' is the name of two methods"):
        table4.table(RECORDS, EDGES, "mean colour")
    with pytest.raises(InputError, match="'mean colour' is the name of two methods"):
        table4.table([{**RECORDS[0], "mean colour": {}}], EDGES)


def test_only_some_columns():
    made = table4.table(RECORDS, EDGES)
    picked = made.only(["all", "(.1,.2]"])
    assert picked.images == (4, 2) and picked.means["psnr"]["MAI"] == (18, 25)
    assert picked.intervals["psnr"]["MAI"] == made.intervals["psnr"]["MAI"][::-3]


# Where the paper's text says who is best: all of CelebA; all of Places2 but one; in Paris at the largest holes by PSNR.
@pytest.mark.parametrize("dataset, lost", [
    ("celeba", set()),
    ("places2", {("l1", 0)}),
    ("paris_streetview", {("ssim", 0), ("ssim", 2), ("l1", 0)}),
])
def test_the_papers_numbers_are_as_its_text_says(dataset, lost):
    paper = json.loads((DOCS / "table4_paper.json").read_text())
    made = table4.Table(("a", "b", "c"), (), {m: paper["datasets"][dataset][m] for m in table4.PAPERS})
    assert {(m, i) for m in table4.PAPERS for i in range(3) if made.best(m, i) != {"MAI"}} == lost


def test_the_document_is_made_by_its_command(tmp_path, monkeypatch):
    records = tmp_path / "records.jsonl"
    records.write_text("".join(json.dumps(r) + "\n" for r in RECORDS))

    def made(*flags):
        monkeypatch.setattr("sys.argv", ["table4.py", "--output", str(tmp_path / "made.md"), *flags])
        runpy.run_path(str(DOCS / "table4.py"), run_name="__main__")
        return (tmp_path / "made.md").read_text()

    def rows(document):
        return [line.replace(" ", "") for line in document.splitlines() if line.startswith("| ")]

    assert set(rows(made())) <= set(rows((DOCS / "table4.md").read_text()))
    beside = made("--ours", "places2", str(records), "default protocol")
    assert "Ours: default protocol; 2 / 1 / 0 images" in beside
    assert beside.count("MAI, ours") == 3 and set(rows(made())) <= set(rows(beside))
