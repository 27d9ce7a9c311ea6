"""The page in a real browser: from a photograph to the filled file."""

import io
import signal
import zlib

import numpy as np
import pytest
from PIL import Image
from skimage import data

TIMEOUT = 120_000  # milliseconds per step, for slow machines


@pytest.fixture
def visit(browser, served):
    """Return a function that opens the page; fail on requests to other servers and on errors in the page."""
    tabs, foreign_requests, errors = [], [], []

    def open_page(width=1280, height=900, *, script="", **settings):
        tab = browser.new_page(viewport={"width": width, "height": height}, accept_downloads=True, **settings)
        tab.add_init_script(script)
        tabs.append(tab)
        tab.set_default_timeout(TIMEOUT)
        tab.on("request", lambda r: foreign_requests.append(r.url) if not r.url.startswith(local) else None)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("dialog", lambda dialog: (errors.append(dialog.message), dialog.dismiss()))
        tab.goto(served.url)
        tab.locator("#photo input[type=file]").wait_for(state="attached")
        return tab

    local = (served.url, f"blob:{served.url}", "data:")
    yield open_page
    for tab in tabs:
        tab.close()
    assert foreign_requests == [] and errors == []


def encoded(image, form="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, form, **options)
    return file.getvalue()


def upload(tab, name, content, element="#photo"):
    tab.locator(f"{element} input[type=file]").set_input_files({"name": name, "mimeType": "", "buffer": content})


def canvas(tab):
    """Return the bounding box of the canvas, once it is visible."""
    element = tab.locator("#brush canvas")
    element.wait_for(state="visible")
    element.scroll_into_view_if_needed()
    return element.bounding_box()


def draw_stroke(tab, start, end):
    """Draw a stroke between two points, in fractions of the photo's width and height."""
    box = canvas(tab)
    tab.mouse.move(box["x"] + box["width"] * start[0], box["y"] + box["height"] * start[1])
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] * end[0], box["y"] + box["height"] * end[1], steps=5)
    tab.mouse.up()


def fill(tab):
    tab.get_by_role("button", name="Fill", exact=True).click()


def filled(tab):
    """Press Fill, download the result, and return its name, pixels and Pillow info."""
    fill(tab)
    tab.locator("#compare img").first.wait_for()
    with tab.expect_download() as download:
        tab.locator("#download").click()
    with Image.open(download.value.path()) as image:
        return download.value.suggested_filename, np.asarray(image), image.info


def expect_message(tab, text, element="#message"):
    tab.locator(element).get_by_text(text).wait_for()
    assert "\n" not in tab.locator(element).inner_text()


def click(tab, point):
    """Click on a point of the outlined result, in fractions of its width and height."""
    element = tab.locator("#outlined img")
    element.scroll_into_view_if_needed()
    box = element.bounding_box()
    element.click(position={"x": box["width"] * point[0], "y": box["height"] * point[1]})


def bounds(changed):
    """Return (left, top, right, bottom) of the True pixels."""
    rows, columns = (np.flatnonzero(changed.any(axis)) for axis in (1, 0))
    return np.array([columns[0], rows[0], columns[-1], rows[-1]])


def test_the_brush_strokes_are_filled(visit):
    tab, photo = visit(), data.astronaut()[:300, :400]
    upload(tab, "my photo.png", encoded(photo, dpi=(300, 300)))
    draw_stroke(tab, (0.3, 0.4), (0.5, 0.4))
    draw_stroke(tab, (0.7, 0.8), (0.8, 0.9))
    tab.get_by_role("button", name="Undo").click()
    name, result, info = filled(tab)
    assert name == "my photo_filled.png" and round(info["dpi"][0]) == 300
    changed = (result != photo).any(-1)
    radius = 14 * 400 / canvas(tab)["width"]  # the brush is 28 pixels of the screen wide
    np.testing.assert_allclose(bounds(changed), [120 - radius, 120 - radius, 200 + radius, 120 + radius], atol=2.5)
    assert changed[115:125, 120:200].mean() > 0.9
    click(tab, (0.4, 0.4))
    for stage in ("#attention_1", "#attention_2"):
        tab.locator(f"{stage} img").wait_for()
    click(tab, (0.9, 0.9))
    expect_message(tab, "this part of the photo was not filled", "#remark")


def click_photo(tab, point, press=None):
    """Click, or `press`, on a point of the photo, in fractions of its width and height."""
    box = canvas(tab)
    (press or tab.mouse.click)(box["x"] + box["width"] * point[0], box["y"] + box["height"] * point[1])


# Some browsers draw nothing for a line of no length.
NO_POINTS = """const context = CanvasRenderingContext2D.prototype, {moveTo, lineTo} = context; let last;
context.moveTo = function (x, y) { last = [x, y]; moveTo.call(this, x, y); };
context.lineTo = function (x, y) { if (x !== last[0] || y !== last[1]) lineTo.call(this, x, y); last = [x, y]; };"""


def test_a_click_paints_a_dot_that_undo_removes(visit):
    tab, photo = visit(script=NO_POINTS), data.astronaut()[:300, :400]
    upload(tab, "photo.png", encoded(photo))
    canvas(tab)
    undo = tab.get_by_role("button", name="Undo")
    assert undo.is_disabled()
    click_photo(tab, (0.25, 0.5))
    assert undo.is_enabled()
    undo.click()
    assert undo.is_disabled()
    fill(tab)
    expect_message(tab, "there is no hole yet")
    click_photo(tab, (0.75, 0.5))
    click_photo(tab, (0.5, 0.25))
    undo.click()
    _, result, _ = filled(tab)
    radius = 14 * 400 / canvas(tab)["width"]
    changed = (result != photo).any(-1)
    np.testing.assert_allclose(bounds(changed), [300 - radius, 150 - radius, 300 + radius, 150 + radius], atol=2.5)
    assert changed.sum() > 0.7 * np.pi * radius**2


@pytest.mark.parametrize("point", [(0.503, 0.502), (0.5, 0.001)])
def test_a_tap_of_the_smallest_brush_paints_on_the_smallest_photo(visit, point):
    tab, photo = visit(width=390, height=844, has_touch=True), data.astronaut()[:24, :32]
    upload(tab, "photo.png", encoded(photo))
    canvas(tab)
    tab.locator("#brush input").fill("4")
    click_photo(tab, point, tab.touchscreen.tap)
    assert tab.get_by_role("button", name="Undo").is_enabled()
    _, result, _ = filled(tab)
    assert 1 <= (result != photo).any(-1).sum() <= 9


def test_the_hole_in_a_large_photo_is_at_the_brush_stroke(visit):
    tab = visit()
    photo = np.random.default_rng(0).integers(0, 256, (375, 500), np.uint8).repeat(8, 0).repeat(8, 1)  # 4000 x 3000
    upload(tab, "large.png", encoded(photo, compress_level=1))
    draw_stroke(tab, (0.25, 0.5), (0.35, 0.5))
    scale = 4000 / canvas(tab)["width"]
    _, result, _ = filled(tab)
    radius = 14 * scale
    expected = [1000 - radius, 1500 - radius, 1400 + radius, 1500 + radius]
    np.testing.assert_allclose(bounds(result != photo), expected, atol=2 * scale)


def test_a_mask_file_an_enlarged_hole_and_transparency(visit):
    tab = visit()
    photo = np.dstack([data.chelsea()[:90, :120], np.full((90, 120), 255, np.uint8)])
    photo[:10, :10, 3] = 0
    upload(tab, "photo.png", encoded(photo))
    canvas(tab)
    tab.get_by_text("Use a mask file").click()
    mask = np.full((90, 120), 255, np.uint8)
    mask[40:60, 50:80] = 0
    upload(tab, "mask.png", encoded(mask), "#mask")
    expect_message(tab, "of the photo is hole. Does white mean the part to keep in this mask?")
    tab.get_by_label("the part to keep").check()
    expect_message(tab, "In this mask white is the part to keep: 6% of the photo is hole.")
    tab.get_by_label("Fill the transparent part").check()
    tab.locator("#grow input[type=number]").fill("3")
    tab.locator("#grow input[type=number]").press("Tab")
    _, result, _ = filled(tab)
    changed = (result != photo).any(-1)
    np.testing.assert_array_equal(bounds(changed[20:]), [47, 37 - 20, 82, 62 - 20])
    np.testing.assert_array_equal(bounds(changed[:20]), [0, 0, 12, 12])
    assert (result[..., 3] == 255).all()


HOSTILE = "<img src=x onerror=alert(1)>.png"


def test_an_unusable_file_is_one_line(visit):
    tab, photo = visit(), encoded(data.chelsea()[:60, :80])
    bomb = bytearray(encoded(np.zeros((1, 1), np.uint8)))
    bomb[16:24] = (2**16).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    for name, content, text in [
        ("text.png", b"no image", "is not an image of a known format"), (HOSTILE, b"no image", "onerror"),
        ("cut.png", photo[:-400], "cannot be read"), ("bomb.png", bytes(bomb), "65536 x 65536"),
        ("empty.png", b"", "is empty"),
    ]:  # fmt: skip
        upload(tab, name, content)
        expect_message(tab, text)
        assert tab.locator("#message p").count() == 1
        assert not tab.locator("#brush canvas").is_visible()
        tab.locator("#photo").get_by_label("Clear").click()
        tab.locator("#message p").wait_for(state="detached")
    upload(tab, "photo.png", photo)
    canvas(tab)
    fill(tab)
    expect_message(tab, "there is no hole yet")
    tab.get_by_text("Use a mask file").click()
    upload(tab, "mask.png", encoded(np.zeros((80, 60), np.uint8)), "#mask")
    expect_message(tab, "the mask is 60 x 80 and its photograph 80 x 60")
    tab.locator("#mask").get_by_text("Drop File Here").wait_for()
    upload(tab, "photo.png", photo, "#mask")
    expect_message(tab, "as a photograph; save the mask in black and white")
    tab.locator("#mask").get_by_text("Drop File Here").wait_for()
    for name, mask, text in [("nothing.png", np.zeros((60, 80), np.uint8), "nothing is to be filled"),
                             ("labels.png", np.eye(60, 80, dtype=np.uint8), "of its two values (1, not 0)")]:
        upload(tab, name, encoded(mask), "#mask")
        expect_message(tab, text)
        tab.locator("#mask").get_by_label("Clear").click()
        tab.locator("#message p").wait_for(state="detached")
    draw_stroke(tab, (0.2, 0.2), (0.4, 0.4))
    tab.locator("#brush").get_by_role("button", name="Clear").click()
    fill(tab)
    expect_message(tab, "there is no hole yet")


def test_the_page_fits_a_phone_without_horizontal_scrolling(visit):
    tab = visit(width=390, height=844)
    upload(tab, "photo.jpg", encoded(data.chelsea(), "JPEG"))
    draw_stroke(tab, (0.4, 0.4), (0.6, 0.5))
    name, _, _ = filled(tab)
    assert name == "photo_filled.jpg"
    click(tab, (0.5, 0.45))
    tab.locator("#attention_1 img").wait_for()
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    box = tab.locator("#brush canvas").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["width"] > 300


def test_ctrl_c_stops_the_server_and_leaves_no_files(serve, browser):
    server = serve()
    tab = browser.new_page()
    tab.goto(server.url)
    upload(tab, "photo.png", encoded(data.chelsea()))
    draw_stroke(tab, (0.4, 0.4), (0.6, 0.5))
    fill(tab)
    tab.get_by_text("Filling").wait_for()
    assert "Traceback" not in server.stop(signal.SIGINT)
    assert server.process.returncode == 0
    assert list(server.temporary.iterdir()) == []
    tab.close()
