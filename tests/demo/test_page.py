"""The page as a person has it, in a real browser: from a photo to the repaired file."""

import io
import signal
import zlib

import numpy as np
import pytest
from PIL import Image
from skimage import data

WAIT = 120_000  # milliseconds that a slow machine may take for a step


@pytest.fixture
def visit(browser, served):
    """Opens the page. It may ask nobody but its server, and nothing in it may go wrong."""
    tabs, elsewhere, heard = [], [], []

    def open_page(width=1280, height=900):
        tab = browser.new_page(viewport={"width": width, "height": height}, accept_downloads=True)
        tabs.append(tab)
        tab.set_default_timeout(WAIT)
        tab.on("request", lambda r: elsewhere.append(r.url) if not r.url.startswith(local) else None)
        tab.on("pageerror", lambda error: heard.append(str(error)))
        tab.on("dialog", lambda dialog: (heard.append(dialog.message), dialog.dismiss()))
        tab.goto(served.url)
        tab.locator("#photo input[type=file]").wait_for(state="attached")
        return tab

    local = (served.url, f"blob:{served.url}", "data:")
    yield open_page
    for tab in tabs:
        tab.close()
    assert elsewhere == [] and heard == []


def encoded(image, form="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, form, **options)
    return file.getvalue()


def drop(tab, name, content, place="#photo"):
    tab.locator(f"{place} input[type=file]").set_input_files({"name": name, "mimeType": "", "buffer": content})


def canvas(tab):
    """The canvas, once there is a photo to paint on: where it is on the screen."""
    place = tab.locator("#brush canvas")
    place.wait_for(state="visible")
    place.scroll_into_view_if_needed()
    return place.bounding_box()


def paint(tab, start, end):
    """A stroke between two places, as shares of the photo's width and height."""
    box = canvas(tab)
    tab.mouse.move(box["x"] + box["width"] * start[0], box["y"] + box["height"] * start[1])
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] * end[0], box["y"] + box["height"] * end[1], steps=5)
    tab.mouse.up()


def fill(tab):
    tab.get_by_role("button", name="Fill", exact=True).click()


def filled(tab):
    """Presses Fill, downloads the result: its name and its pixels."""
    fill(tab)
    tab.locator("#compare img").first.wait_for()
    with tab.expect_download() as download:
        tab.locator("#download").click()
    with Image.open(download.value.path()) as image:
        return download.value.suggested_filename, np.asarray(image), image.info


def says(tab, words, place="#message"):
    tab.locator(place).get_by_text(words).wait_for()
    assert "\n" not in tab.locator(place).inner_text()


def click(tab, share):
    place = tab.locator("#spot img")
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    place.click(position={"x": box["width"] * share[0], "y": box["height"] * share[1]})


def bounds(changed):
    """(left, top, right, bottom) of what is True."""
    rows, columns = (np.flatnonzero(changed.any(axis)) for axis in (1, 0))
    return np.array([columns[0], rows[0], columns[-1], rows[-1]])


def test_a_photo_is_repaired_where_it_was_painted_over(visit):
    tab, photo = visit(), data.astronaut()[:300, :400]
    drop(tab, "my photo.png", encoded(photo, dpi=(300, 300)))
    paint(tab, (0.3, 0.4), (0.5, 0.4))
    paint(tab, (0.7, 0.8), (0.8, 0.9))
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
    says(tab, "the photo's own", "#remark")


def test_the_hole_in_a_large_photo_is_where_it_was_painted(visit):
    tab = visit()
    photo = np.random.default_rng(0).integers(0, 256, (375, 500), np.uint8).repeat(8, 0).repeat(8, 1)  # 4000 x 3000
    drop(tab, "large.png", encoded(photo, compress_level=1))
    paint(tab, (0.25, 0.5), (0.35, 0.5))
    scale = 4000 / canvas(tab)["width"]
    _, result, _ = filled(tab)
    radius = 14 * scale
    wanted = [1000 - radius, 1500 - radius, 1400 + radius, 1500 + radius]
    np.testing.assert_allclose(bounds(result != photo), wanted, atol=2 * scale)


def test_a_mask_file_a_grown_hole_and_transparency(visit):
    tab = visit()
    photo = np.dstack([data.chelsea()[:90, :120], np.full((90, 120), 255, np.uint8)])
    photo[:10, :10, 3] = 0
    drop(tab, "photo.png", encoded(photo))
    canvas(tab)
    tab.get_by_text("Have a mask file?").click()
    mask = np.full((90, 120), 255, np.uint8)
    mask[40:60, 50:80] = 0
    drop(tab, "mask.png", encoded(mask), "#mask")
    says(tab, "of the photo is hole. Does white mean what stays in this mask?")
    tab.get_by_label("what stays").check()
    tab.locator("#message p").wait_for(state="detached")
    tab.get_by_label("Fill the transparent part").check()
    tab.locator("#grow input[type=number]").fill("3")
    tab.locator("#grow input[type=number]").press("Tab")
    _, result, _ = filled(tab)
    changed = (result != photo).any(-1)
    np.testing.assert_array_equal(bounds(changed[20:]), [47, 37 - 20, 82, 62 - 20])
    np.testing.assert_array_equal(bounds(changed[:20]), [0, 0, 12, 12])
    assert (result[..., 3] == 255).all()


HOSTILE = "<img src=x onerror=alert(1)>.png"


def test_what_cannot_be_used_is_said_in_one_line(visit):
    tab, photo = visit(), encoded(data.chelsea()[:60, :80])
    bomb = bytearray(encoded(np.zeros((1, 1), np.uint8)))
    bomb[16:24] = (2**16).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    for name, content, words in [
        ("text.png", b"no image", "is not an image of a known format"), (HOSTILE, b"no image", "onerror"),
        ("cut.png", photo[:-400], "cannot be read"), ("bomb.png", bytes(bomb), "65536 x 65536"),
        ("empty.png", b"", "is empty"),
    ]:  # fmt: skip
        drop(tab, name, content)
        says(tab, words)
        assert tab.locator("#message p").count() == 1
        assert not tab.locator("#brush canvas").is_visible()
        tab.locator("#photo").get_by_label("Clear").click()
        tab.locator("#message p").wait_for(state="detached")
    drop(tab, "photo.png", photo)
    canvas(tab)
    fill(tab)
    says(tab, "there is no hole yet")
    tab.get_by_text("Have a mask file?").click()
    drop(tab, "mask.png", encoded(np.zeros((80, 60), np.uint8)), "#mask")
    says(tab, "the mask is 60 x 80 and the photo 80 x 60")
    tab.locator("#mask").get_by_text("Drop File Here").wait_for()
    paint(tab, (0.2, 0.2), (0.4, 0.4))
    tab.locator("#brush").get_by_role("button", name="Clear").click()
    fill(tab)
    says(tab, "there is no hole yet")


def test_a_phone_shows_all_of_it_without_scrolling_sideways(visit):
    tab = visit(width=390, height=844)
    drop(tab, "photo.jpg", encoded(data.chelsea(), "JPEG"))
    paint(tab, (0.4, 0.4), (0.6, 0.5))
    name, _, _ = filled(tab)
    assert name == "photo_filled.jpg"
    click(tab, (0.5, 0.45))
    tab.locator("#attention_1 img").wait_for()
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    box = tab.locator("#brush canvas").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["width"] > 300


def test_ctrl_c_ends_it_at_once_and_leaves_nothing(serve, browser):
    server = serve()
    tab = browser.new_page()
    tab.goto(server.url)
    drop(tab, "photo.png", encoded(data.chelsea()))
    paint(tab, (0.4, 0.4), (0.6, 0.5))
    fill(tab)
    tab.get_by_text("Filling").wait_for()
    assert "Traceback" not in server.end(signal.SIGINT)
    assert server.process.returncode == 0
    assert list(server.temporary.iterdir()) == []
    tab.close()
