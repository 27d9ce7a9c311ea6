"""Painting, zoom and keys on the page, in a real browser."""

import numpy as np
import pytest

from mai_jax.demo import pictures
from tests.demo.browsing import at, bounds, draw, fill, filled, mask, noise, open_photo, scale

# Some browsers draw nothing for a line of no length.
NO_POINTS = """const context = CanvasRenderingContext2D.prototype, {moveTo, lineTo} = context; let last;
context.moveTo = function (x, y) { last = [x, y]; moveTo.call(this, x, y); };
context.lineTo = function (x, y) { if (x !== last[0] || y !== last[1]) lineTo.call(this, x, y); last = [x, y]; };"""


@pytest.fixture(scope="module")
def photo():
    return noise(300, 400)


@pytest.fixture
def tab(visit, photo):
    tab = visit()
    open_photo(tab, photo)
    return tab


def screen(tab):
    """Return the number of pixels of the screen per pixel of a photo that is 2000 pixels wide."""
    return tab.locator("#paint").bounding_box()["width"] / 2000


def click(tab, point):
    tab.mouse.click(*at(tab, point))


def test_a_click_paints_a_dot_that_undo_removes(visit, photo):
    tab = visit(script=NO_POINTS)
    open_photo(tab, photo)
    undo = tab.get_by_role("button", name="Undo")
    assert undo.is_disabled()
    click(tab, (0.25, 0.5))
    assert undo.is_enabled()
    undo.click()
    assert undo.is_disabled()
    fill(tab)
    tab.get_by_text("there is no hole yet").wait_for()
    click(tab, (0.75, 0.5))
    click(tab, (0.5, 0.25))
    undo.click()
    radius = 14 / scale(tab)
    changed = (filled(tab) != photo).any(-1)
    np.testing.assert_allclose(bounds(changed), [300 - radius, 150 - radius, 300 + radius, 150 + radius], atol=1.5)
    assert changed.sum() == pytest.approx(np.pi * radius**2, rel=0.1)


@pytest.mark.parametrize("point", [(0.503, 0.502), (0.5, 0.001)])
def test_a_tap_of_the_smallest_brush_paints_on_the_smallest_photo(visit, point):
    tab, photo = visit(width=390, height=844, has_touch=True), noise(24, 32)
    open_photo(tab, photo)
    tab.locator("#size").fill("2")
    tab.touchscreen.tap(*at(tab, point))
    assert tab.get_by_role("button", name="Undo").is_enabled()
    assert 1 <= (filled(tab) != photo).any(-1).sum() <= 9


@pytest.mark.parametrize(("factor", "displayed"), [(0.8, 2000), (1, 1000), (1.5, 2000)])
def test_the_hole_in_a_large_photo_is_at_the_stroke(visit, monkeypatch, factor, displayed):
    """A browser zooms a page by a factor with fewer, larger CSS pixels; a very large photo is displayed reduced."""
    monkeypatch.setattr(pictures, "MAX_AREA", displayed * displayed * 3 // 4)
    tab = visit(round(1280 / factor), round(900 / factor), device_scale_factor=factor)
    photo = np.random.default_rng(0).integers(0, 256, (375, 500), np.uint8).repeat(4, 0).repeat(4, 1)
    open_photo(tab, photo, compress_level=1)
    draw(tab, (0.25, 0.5), (0.35, 0.5))
    assert tab.locator("#paint").evaluate("e => e.width") == displayed
    radius = 14 / screen(tab)
    expected = np.array([500 - radius, 750 - radius, 700 + radius, 750 + radius])
    np.testing.assert_allclose(bounds(mask(tab)), expected, atol=2 / screen(tab))
    tab.mouse.move(*at(tab, (0.75, 0.25)))
    for _ in range(12):
        tab.mouse.wheel(0, -120)
    assert screen(tab) > 1.2
    np.testing.assert_allclose(at(tab, (0.75, 0.25)), tab.evaluate(
        "() => { const r = document.getElementById('ring').getBoundingClientRect();"
        "return [r.x + r.width / 2, r.y + r.height / 2]; }"), atol=1)
    tab.keyboard.press("Control+z")
    click(tab, (0.75, 0.25))
    left, top, right, bottom = bounds(mask(tab))
    np.testing.assert_allclose([right - left, bottom - top], 28 / screen(tab) - 1, atol=3)
    np.testing.assert_allclose([left + right, top + bottom], [3000, 750], atol=4)


def test_the_photo_is_moved_by_the_space_bar_the_middle_button_and_the_tool(tab):
    for _ in range(3):
        tab.keyboard.press("+")
    start = at(tab, (0.5, 0.5))
    tab.keyboard.down("Space")
    drag(tab)
    tab.keyboard.up("Space")
    drag(tab, button="middle")
    tab.keyboard.press("m")
    drag(tab)
    np.testing.assert_allclose(np.subtract(at(tab, (0.5, 0.5)), start), [90, 60], atol=0.5)
    assert tab.locator("#undo").is_disabled()
    tab.keyboard.press("0")
    box, view = (tab.locator(name).bounding_box() for name in ("#paint", "#view"))
    assert any(box[side] == pytest.approx(view[side], abs=3) for side in ("width", "height"))
    assert box["x"] >= view["x"] and box["y"] >= view["y"]


def drag(tab, button="left"):
    x, y = at(tab, (0.5, 0.5))
    tab.mouse.move(x, y)
    tab.mouse.down(button=button)
    tab.mouse.move(x + 30, y + 20, steps=3)
    tab.mouse.up(button=button)


def test_two_fingers_zoom_and_never_paint(visit, photo):
    tab = visit(390, 844, has_touch=True)
    open_photo(tab, photo)
    touch = tab.context.new_cdp_session(tab)
    x, y = at(tab, (0.5, 0.5))
    before = scale(tab)

    def send(kind, *fingers):
        points = [{"x": x + dx, "y": y + dy, "id": i} for i, (dx, dy) in enumerate(fingers)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", (-20, 0))
    send("touchMove", (-21, 0))
    send("touchStart", (-21, 0), (20, 0))
    for distance in (30, 40, 60):
        send("touchMove", (-distance, 0), (distance, 0))
    send("touchEnd")
    assert scale(tab) / before == pytest.approx(120 / 41, rel=0.2)
    assert tab.locator("#undo").is_disabled() and not mask(tab).any()
    tab.touchscreen.tap(*at(tab, (0.5, 0.5)))  # the page has scrolled
    assert tab.locator("#undo").is_enabled() and mask(tab).any()


def test_the_keys_of_the_size_and_its_preview(tab):
    size, ring = tab.locator("#size"), tab.locator("#ring")
    tab.mouse.move(*at(tab, (0.5, 0.5)))
    assert ring.bounding_box()["width"] == pytest.approx(28, abs=0.5)
    for _ in range(3):
        tab.keyboard.press("]")
    larger = float(size.input_value())
    assert larger > 40 and ring.bounding_box()["width"] == pytest.approx(larger, abs=0.5)
    for _ in range(30):
        tab.keyboard.press("[")
    assert size.input_value() == "2" and ring.bounding_box()["width"] == pytest.approx(2 * scale(tab), abs=0.5)


def test_box_lasso_eraser_and_invert(tab):
    tab.keyboard.press("r")
    draw(tab, (0.75, 0.75), (0.25, 0.25))
    hole = mask(tab)
    np.testing.assert_allclose(bounds(hole), [100, 75, 299, 224], atol=1)
    assert hole.sum() == pytest.approx(200 * 150, rel=0.02)
    tab.get_by_text("Eraser").click()
    draw(tab, (0.4, 0.5), (0.6, 0.5))
    assert hole[150, 200] and not mask(tab)[150, 160:240].any() and mask(tab)[100, 200]
    tab.get_by_role("button", name="Invert").click()
    assert mask(tab)[150, 200] and mask(tab)[10, 10] and not mask(tab)[100, 200]
    tab.get_by_role("button", name="Clear").click()
    tab.keyboard.press("l")
    draw(tab, (0.2, 0.2), (0.8, 0.2), (0.2, 0.8))
    hole = mask(tab)
    assert hole[100, 120] and not hole[200, 300] and hole.sum() == pytest.approx(0.18 * 300 * 400, rel=0.05)


def test_a_hole_is_painted_and_filled_with_the_keyboard_alone(visit, photo):
    tab = visit()
    open_photo(tab, photo)
    for _ in range(30):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.id") == "view":
            break
    for key in ["ArrowLeft"] * 3 + ["Enter"] + ["Shift+ArrowDown"] * 4:
        tab.keyboard.press(key)
    radius = 14 / scale(tab)
    left, top, bottom = 200 - 30 / scale(tab), 150, 150 + 40 / scale(tab)
    assert tab.locator("#spoken").inner_text() == f"Column {round(left)}, row {round(bottom)}"
    hole = mask(tab)
    expected = [left - radius, top - radius, left + radius, bottom + radius]
    np.testing.assert_allclose(bounds(hole), expected, atol=1.5)
    tab.keyboard.press("Control+z")
    assert not mask(tab).any()
    tab.keyboard.press("Control+y")
    tab.locator("#fill").focus()
    tab.keyboard.press("Enter")
    tab.get_by_text("Filled").wait_for()
