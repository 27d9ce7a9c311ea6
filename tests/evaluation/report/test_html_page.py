"""The HTML report: its content, and its behaviour in a browser, on a wide and on a narrow screen."""

import io
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from skimage import data

from mai_jax.evaluation.report import html_page, svg, table4
from mai_jax.evaluation.report.html_page import Case, Report, choose_cases, key, page

EDGES = (0.1, 0.2, 0.3, 0.4)
HOSTILE = '<script>alert(1)</script>"><img src=https://example.org/x onerror=alert(2)>&amp;.jpg'
UNFORMATTED = r"\b(nan|NaN|inf|Infinity|None)\b"
RED, GREEN, WHITE = (200, 0, 0), (0, 160, 0), (255, 255, 255)


def records(photographs=12):
    """Return records of two methods, with a hole in the first and in the last of three bins per photograph."""
    rng = np.random.default_rng(0)
    result = []
    for i in range(photographs):
        for ratio in (0.15, 0.35):
            psnr = 35 - 40 * ratio + rng.normal()
            name = f"{i}{HOSTILE}"
            baseline = {"ssim": psnr / 60, "psnr": psnr - 5 + rng.normal(), "l1": 2 / psnr}
            result.append({"id": name, "hole": f"hole_{len(result)}", "hole_ratio": ratio + rng.uniform(-0.04, 0.04),
                           "ssim": psnr / 50, "psnr": psnr, "l1": 1 / psnr, "hole_psnr": psnr - 9,
                           "mean_colour": baseline})
    return result


def flat(colour, size=64):
    return np.full((size, size, 3), colour, np.uint8)


def report(given, cases=(), **changed):
    fields = {"title": f"Report {HOSTILE}", "method": "MAI & <co>", "dataset": HOSTILE, "protocol": "default",
              "stamp": {"Code": HOSTILE}, "definitions": f"One.\n\nTwo {HOSTILE}"}
    return Report(**fields | {"edges": EDGES, "records": given, "cases": cases} | changed)


def with_cases(given):
    chosen = choose_cases(given, EDGES)
    return report(given, [Case(chosen[key(r)], r, flat(WHITE), flat(GREEN), flat(RED)) for r in given
                          if key(r) in chosen])


def test_cases_are_best_median_worst_of_first_middle_and_last_bin():
    def bin_of(low, psnrs):
        return [{"id": f"{low}", "hole_ratio": low + 0.001 * (i + 1), "psnr": p} for i, p in enumerate(psnrs)]

    edges = (0.1, 0.2, 0.3, 0.4, 0.5)
    given = bin_of(0.1, [20, math.inf, 10, 30]) + bin_of(0.2, [1]) + bin_of(0.3, [5, 7]) + bin_of(0.6, [99])
    given[0]["hole"] = "h"
    ranks = {1: "best", 3: "median", 2: "worst", 4: "best", 6: "best", 5: "worst"}
    assert choose_cases(given, edges) == {key(given[i]): rank for i, rank in ranks.items()}
    assert key(given[0]) == ("0.1", "h") and len(set(map(key, given))) == len(given)
    assert choose_cases(given[::-1], edges) == choose_cases(given, edges)
    assert choose_cases([], edges) == {}
    assert choose_cases([{"id": "a", "hole_ratio": 0.15, "ssim": 0.5}, {"id": "b", "hole_ratio": 0.15}], edges) == {
        ("a", "0.15"): "best"}  # a protocol without PSNR


class Tags(HTMLParser):
    """All tags, and the visible text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, words):
        if self.tags and self.tags[-1][0] not in ("style", "script"):
            self.text += f"{words} "


def test_external_text_is_escaped_and_nothing_is_requested():
    parsed = Tags(page(with_cases(records())))
    assert [tag for tag, _ in parsed.tags].count("script") == 1
    assert {src[:22] for _, attributes in parsed.tags if (src := attributes.get("src"))} == {"data:image/webp;base64"}
    assert {link[0] for _, attributes in parsed.tags if (link := attributes.get("href"))} == {"#"}
    assert not any(name.startswith("on") for _, attributes in parsed.tags for name in attributes)
    assert parsed.text.count(HOSTILE) == 5 + 6  # title twice, data set, stamp, definitions; pictures
    assert sum(HOSTILE in (attributes.get("alt") or "") for _, attributes in parsed.tags) == 3 * 6


def test_missing_values_are_dashes_and_infinity_is_a_symbol():
    given = records()
    del given[0]["hole_psnr"]
    given[1]["psnr"] = given[3]["mean_colour"]["psnr"] = math.inf  # in one bin: their difference has no mean
    text = Tags(page(with_cases(given))).text
    assert "∞" in text and "-" in text and "infinite PSNR" in text and "mean colour 1 (of 24)" in text
    assert not re.search(UNFORMATTED, text)
    for records_of_one in ([], [{"id": "a", "hole_ratio": 0.9, "ssim": 1.0}], [{**given[0], "psnr": math.inf}]):
        assert not re.search(UNFORMATTED, page(report(records_of_one)))


def test_ticks_enclose_the_values():
    for low, high in [(0.003, 0.0871), (16.2, 44.0), (-0.3, 1.0), (7.0, 7.0), (0.0, 0.0)]:
        ticks = list(svg.ticks(low, high))
        assert ticks[0] <= low <= high <= ticks[-1] and 2 <= len(ticks) <= 12


def test_pictures_are_lossless():
    truth = data.astronaut()[:40, :50]
    prediction = truth.copy()
    prediction[10:30, 5:25] = data.coffee()[:20, :20]
    base, over = (Image.open(io.BytesIO(html_page._webp(x))).convert("RGBA")
                  for x in (truth, html_page._over(prediction, truth)))
    base.alpha_composite(over)
    np.testing.assert_array_equal(np.asarray(base)[..., :3], prediction)


def test_a_complete_report_is_smaller_than_three_megabytes():
    def photo(name, i):
        return np.ascontiguousarray(getattr(data, name)()[20 * i:20 * i + 256, 20 * i:20 * i + 256])

    given = [{**r, "telea": r["mean_colour"], "lpips": r["l1"]} for r in records(660)]
    hole = np.random.default_rng(0).random((8, 8)).repeat(32, 0).repeat(32, 1)[..., None] < 0.55
    cases = []
    for i, name in enumerate(["astronaut", "chelsea", "coffee"] * 3):
        truth = photo(name, i % 2)
        cases.append(Case("best", given[0], np.where(hole, np.uint8(255), truth), np.where(hole, truth[::-1], truth),
                          truth))
    assert len(page(report(given, cases)).encode()) < 3e6


# The following tests need a browser.


@pytest.fixture
def opened(browser, tmp_path):
    """Return a function that opens a report; fail on console messages, errors, dialogs and requests of any page."""
    events, pages = [], []

    def open_report(given, width=1280, height=800, scheme="light"):
        path = tmp_path / f"{len(pages)}.html"
        path.write_text(page(given), "utf-8")
        tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        pages.append(tab)
        tab.on("console", lambda message: events.append(message.text))
        tab.on("pageerror", lambda error: events.append(str(error)))
        tab.on("dialog", lambda dialog: (events.append(dialog.message), dialog.dismiss()))
        tab.on("request", lambda request: events.append(request.url))
        tab.goto(path.as_uri())
        return tab

    yield open_report
    for tab in pages:
        tab.close()
    unexpected = [event for event in events if not event.startswith(("data:image/webp", tmp_path.as_uri()))]
    assert unexpected == []


def pixel(tab, x=32, y=32):
    """Return the colour at a position of the first picture."""
    shown = Image.open(io.BytesIO(tab.locator(".stack").first.screenshot())).convert("RGB")
    return shown.getpixel((shown.width * x // 64, shown.height * y // 64))


def test_the_table_on_the_page_is_table_4(opened):
    given = records()
    tab = opened(with_cases(given))
    table = table4.table(given, EDGES, "MAI & <co>")
    for metric, rows in table.means.items():
        body = tab.locator(f"#means tbody[data-metric={metric}] tr:not(.metric)")
        assert [line.splitlines()[0].strip() for line in body.locator("th").all_inner_texts()] == list(rows)
        for i, (method, means) in enumerate(rows.items()):
            cells = body.nth(i).locator("td")
            shown = [cell.split() for cell in cells.all_inner_texts()]
            assert [cell[0] for cell in shown] == [table4.METRICS[metric].format(mean) for mean in means]
            assert [len(cell) for cell in shown] == [1 if interval is None else 4
                                                     for interval in table.intervals[metric][method]]
            bold = [cell.locator("b").count() for cell in cells.all()]
            assert bold == [method in table.best(metric, column) for column in range(len(means))]


def test_differences_mark_the_better_method(opened):
    tab = opened(with_cases([{**r, "l1": 3 * r["l1"]} for r in records()]))
    for metric, mark, sign, won in [("ssim", "▲", "+", "100%"), ("psnr", "▲", "+", "100%"),
                                    ("l1", "▼", "+", "0%"), ("hole_psnr", "-", "-", "-")]:
        cell = tab.locator(f"#differences tbody[data-metric={metric}] td").last.inner_text().split()
        assert cell[0] == mark and cell[min(1, len(cell) - 1)].startswith(sign) and cell[-1] == won


def test_the_slider_divides_input_or_truth_from_the_result(opened):
    tab = opened(with_cases(records()))
    slider = tab.locator(".stack input").first
    assert pixel(tab, x=16) == WHITE and pixel(tab, x=48) == GREEN
    slider.focus()
    tab.keyboard.press("End")
    assert pixel(tab, x=48) == WHITE
    tab.get_by_label("truth", exact=True).check()
    assert pixel(tab, x=48) == RED
    slider.focus()
    tab.keyboard.press("Home")
    assert pixel(tab, x=16) == GREEN
    box = tab.locator(".stack").first.bounding_box()
    tab.mouse.click(box["x"] + box["width"] * 0.95, box["y"] + 20)
    assert pixel(tab, x=60) == RED and pixel(tab, x=62) == GREEN
    assert tab.locator(".stack").nth(1).locator("input").input_value() == "50"


@pytest.mark.parametrize("width", [1280, 360])
def test_the_page_fits_the_screen_in_light_and_dark(opened, width):
    backgrounds = []
    for scheme in ("light", "dark"):
        tab = opened(with_cases(records()), width=width, scheme=scheme)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.locator(".curves > figure > svg").count() == 4
        assert [legend.locator("li").count() for legend in tab.locator(".legend").all()] == [2, 2, 2, 1]
        assert min(box["height"] for svg in tab.locator(".curves > figure > svg").all()
                   if (box := svg.bounding_box())) > 150
        shown = Image.open(io.BytesIO(tab.screenshot(full_page=True))).convert("L")
        backgrounds.append(shown.getpixel((2, 2)))
        assert np.std(np.asarray(shown)[:600]) > 10  # the page is not blank
    assert backgrounds[0] > 240 and backgrounds[1] < 40


def test_an_injected_script_is_not_executed(browser, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(page(report(records())).replace("</main>", "<script>document.title = 'ran'</script></main>"))
    tab = browser.new_page()
    tab.goto(path.as_uri())
    assert tab.title() == f"Report {HOSTILE}"
    tab.close()
