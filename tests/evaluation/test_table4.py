"""The table against records small enough to average by hand."""

import pytest

from mai_jax.evaluation import table4


def record(ratio, psnr, floor_psnr=10.0):
    own = {"ssim": psnr / 100, "psnr": psnr, "l1": 1 / psnr}
    return {"id": "x", "hole_ratio": ratio, **own, "mean_colour": {"ssim": 0.5, "psnr": floor_psnr, "l1": 0.125}}


EDGES = (0.1, 0.2, 0.3, 0.4)
RECORDS = [record(0.2, 30.0), record(0.15, 20.0, 12.0), record(0.35, 16.0), record(0.9, 6.0)]


def test_means_by_bin_and_over_all():
    made = table4.table(RECORDS, EDGES)
    assert made.columns == ("(.1,.2]", "(.2,.3]", "(.3,.4]", "all")
    assert made.images == (2, 0, 1, 4)
    assert made.means["psnr"] == {"MAI": (25, None, 16, 18), "mean colour": (11, None, 10, 10.5)}
    assert made.means["ssim"]["MAI"][0] == pytest.approx(0.25)
    assert table4.table(RECORDS[::-1], EDGES) == made


def test_markdown_is_the_papers_table():
    assert table4.markdown(table4.table(RECORDS, EDGES, "PIC")) == f"""\
| metric    | method      | (.1,.2] | (.2,.3] | (.3,.4] |     all |
|-----------|-------------|---------|---------|---------|---------|
| images    |             |       2 |       0 |       1 |       4 |
| SSIM ↑    | PIC         |  0.2500 |       - |  0.1600 |  0.1800 |
|           | mean colour |  0.5000 |       - |  0.5000 |  0.5000 |
| PSNR ↑    | PIC         |   25.00 |       - |   16.00 |   18.00 |
|           | mean colour |   11.00 |       - |   10.00 |   10.50 |
| mean l1 ↓ | PIC         | 0.04167 |       - | 0.06250 | 0.07812 |
|           | mean colour | 0.12500 |       - | 0.12500 | 0.12500 |

{table4.LEGEND}
"""


def test_text_has_the_same_cells():
    made = table4.table(RECORDS, EDGES)
    head, _, *body = (line.replace("|", " ").split() for line in table4.markdown(made).splitlines())
    assert [line.split() for line in table4.text(made).splitlines()] == [head, *filter(None, body)]
    head, *body = table4.text(made).splitlines()[:-1]
    assert {len(line) for line in body} == {len(head)}


def test_nothing_is_shown_as_a_dash_and_infinity_as_itself():
    assert table4.table([], EDGES).means["psnr"] == {"MAI": (None,) * 4}
    assert "nan" not in table4.text(table4.table([], EDGES))
    exact = [record(0.2, 30.0), {**record(0.35, 30.0), "psnr": "inf"}]  # as strict JSON has to write it
    assert table4.table(exact, EDGES).means["psnr"]["MAI"] == (30, None, float("inf"), float("inf"))


def test_a_record_without_a_method_is_an_error():
    with pytest.raises(KeyError, match="mean_colour"):
        table4.table([*RECORDS, {"hole_ratio": 0.2, "ssim": 1.0, "psnr": 1.0, "l1": 0.0}], EDGES)
