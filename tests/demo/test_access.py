"""The page for every user: screen readers, light and dark, a phone."""

from importlib.resources import files

import pytest

from tests.demo.browsing import draw, encoded, fill, noise, open_photo, upload

STRICT = "() => axe.run({resultTypes: ['violations', 'incomplete']})"


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_axe_finds_nothing(visit, width, scheme):
    pytest.importorskip("axe_playwright_python", reason="install the extra `dev`")
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text()
    tab = visit(width, 844, color_scheme=scheme)
    tab.evaluate(axe)
    states = [tab.evaluate(STRICT)]
    upload(tab, "photo.png", b"")
    tab.locator("#message.error").wait_for()
    states.append(tab.evaluate(STRICT))
    open_photo(tab, noise(90, 120))
    draw(tab, (0.5, 0.5))
    fill(tab)
    tab.locator("summary").click()
    states.append(tab.evaluate(STRICT))
    for found in states:
        problems = [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found["violations"]]
        assert problems == [] and len(found["passes"]) > 15


def test_the_page_fits_a_phone_without_horizontal_scrolling(visit):
    tab = visit(width=390, height=844, has_touch=True)
    open_photo(tab, noise(300, 400))
    draw(tab, (0.4, 0.4), (0.6, 0.5))
    fill(tab)
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    box = tab.locator("#view").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["width"] > 300


def test_the_page_has_the_colours_of_the_system(visit):
    backgrounds = [visit(color_scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
                   for scheme in ("light", "dark")]  # fmt: skip
    assert backgrounds == ["rgb(246, 247, 249)", "rgb(21, 23, 27)"]


def test_the_photo_does_not_move_when_a_message_appears(visit):
    tab = visit()
    upload(tab, "photo.png", encoded(noise(90, 120)))
    tab.locator("#view").wait_for()
    before = tab.locator("#view").evaluate("e => e.offsetTop")
    fill(tab)
    tab.get_by_text("there is no hole yet").wait_for()
    assert tab.locator("#view").evaluate("e => e.offsetTop") == before
