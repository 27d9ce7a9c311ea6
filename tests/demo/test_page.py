"""The page in a real browser, from a photograph to the repaired file."""

import signal
import zlib

import numpy as np
import pytest
from skimage import data

from tests.demo.browsing import (
    bounds,
    download,
    draw,
    encoded,
    expect_message,
    fill,
    filled,
    mask,
    noise,
    open_photo,
    scale,
    upload,
    wait,
)  # fmt: skip


def test_a_network_fills_the_strokes_and_shows_its_sources(visitor, served):
    tab, photo = visitor(served.url), data.astronaut()[:300, :400]
    assert "trained for 7 steps" in tab.locator("#about").inner_text()
    assert "stay on this machine" in tab.locator("#about").inner_text()
    open_photo(tab, photo, "my photo.png", dpi=(300, 300))
    draw(tab, (0.3, 0.4), (0.5, 0.4))
    draw(tab, (0.7, 0.8), (0.8, 0.9))
    tab.get_by_role("button", name="Undo").click()
    radius = 14 / scale(tab)  # the brush is 28 pixels of the screen wide
    fill(tab)
    tab.get_by_role("button", name="Show the sources").click()
    draw(tab, (0.4, 0.4))
    tab.locator("#maps img").nth(1).wait_for()
    draw(tab, (0.9, 0.9))
    expect_message(tab, "this part of the photo was not filled last")
    name, result, info = download(tab)
    assert name == "my photo_filled.png" and round(info["dpi"][0]) == 300
    changed = (result != photo).any(-1)
    np.testing.assert_allclose(bounds(changed), [120 - radius, 120 - radius, 200 + radius, 120 + radius], atol=2.5)
    assert changed[115:125, 120:200].mean() > 0.9


def test_ctrl_c_stops_the_server_and_leaves_no_files(visitor, serve):
    server = serve()
    tab = visitor(server.url)
    open_photo(tab, data.chelsea())
    draw(tab, (0.4, 0.4), (0.6, 0.5))
    tab.locator("#fill").click()
    expect_message(tab, "Filling")
    assert "Traceback" not in server.stop(signal.SIGINT)
    assert server.process.returncode == 0
    assert list(server.temporary.iterdir()) == []


def test_a_second_stroke_goes_on_from_the_result(visit):
    tab, photo = visit(), noise(90, 120)
    open_photo(tab, photo)
    tab.locator("#size").fill("120")
    draw(tab, (0.2, 0.3))
    first = filled(tab)
    draw(tab, (0.7, 0.6))
    draw(tab, (0.3, 0.3))  # beside the first hole, partly in it
    second = filled(tab)
    hole_1, hole_2 = (first != photo).any(-1), (second != first).any(-1)
    assert hole_1.any() and hole_2.any() and (hole_1 & hole_2).any()
    np.testing.assert_array_equal(second[hole_1 & ~hole_2], first[hole_1 & ~hole_2])
    assert not mask(tab).any()


def test_undo_and_redo_go_back_over_a_fill(visit):
    tab, photo = visit(), noise(90, 120)
    open_photo(tab, photo)
    draw(tab, (0.2, 0.3))
    fill(tab)
    draw(tab, (0.7, 0.6))
    second = filled(tab)
    tab.keyboard.press("Control+z")
    assert mask(tab)[54, 84] and not mask(tab)[27, 24]
    tab.keyboard.press("Control+z")
    np.testing.assert_array_equal(download(tab)[1][54, 84], photo[54, 84])
    wait(tab)
    tab.keyboard.press("Control+z")
    assert tab.locator("#download").is_disabled() and mask(tab)[27, 24]
    for _ in range(3):
        tab.keyboard.press("Control+Shift+z")
    np.testing.assert_array_equal(download(tab)[1], second)
    wait(tab)
    tab.keyboard.press("Control+z")
    tab.get_by_role("button", name="Clear").click()
    assert tab.locator("#redo").is_disabled() and not mask(tab).any()


def shown(tab):
    """Return the colour of the photo's middle on the screen."""
    tab.locator("#view").scroll_into_view_if_needed()
    box = tab.locator("#view").bounding_box()
    clip = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2, "width": 1, "height": 1}
    return tab.screenshot(clip=clip)


def test_the_original_is_shown_while_a_button_or_key_is_held(visit):
    tab = visit()
    open_photo(tab, np.full((60, 80, 3), 200, np.uint8))
    before = shown(tab)
    assert tab.locator("#original").is_disabled()
    draw(tab, (0.4, 0.5), (0.6, 0.5))
    tab.locator("#original").evaluate("e => e.disabled")
    tab.locator("#fill").click()
    wait(tab)
    tab.evaluate("document.getElementById('layer').style.filter = 'invert(1)'")
    after = shown(tab)
    assert before != after
    tab.locator("#original").hover()
    tab.mouse.down()
    assert shown(tab) == before
    tab.mouse.up()
    assert shown(tab) == after
    tab.locator("#original").focus()
    for key in ("Space", "o"):
        tab.keyboard.down(key)
        assert shown(tab) == before
        tab.keyboard.up(key)
        assert shown(tab) == after


def test_the_result_of_sixteen_bits_and_of_a_jpeg(visit):
    tab, photo = visit(), noise(60, 80)
    upload(tab, "deep.png", deep := encoded_sixteen_bits(photo))
    wait(tab)
    draw(tab, (0.5, 0.5))
    fill(tab)
    draw(tab, (0.2, 0.5))
    fill(tab)
    with tab.expect_download() as saved:
        tab.locator("#download").click()
    from mai_jax import image_io

    before, after = (image_io.decode(file, "x").rgb for file in (deep, saved.value.path().read_bytes()))
    changed = (before != after).any(-1)
    assert after.dtype == np.uint16 and changed[30, 40] and changed[30, 16] and not changed[:, 60:].any()
    wait(tab)
    upload(tab, "photo.jpg", encoded(data.chelsea(), "JPEG"))
    wait(tab)
    draw(tab, (0.4, 0.4), (0.6, 0.5))
    fill(tab)
    assert download(tab)[0] == "photo_filled.jpg"


def encoded_sixteen_bits(image):
    from mai_jax.image_io import png
    from mai_jax.image_io.photo import Samples

    return png.write(Samples(image.astype(np.uint16) * 257, "RGB", 16), icc=b"", exif=b"", xmp=b"", dpi=None)


def test_a_mask_file_a_grown_and_a_shrunk_hole_and_transparency(visit):
    tab = visit()
    photo = np.dstack([noise(90, 120), np.full((90, 120), 255, np.uint8)])
    photo[:10, :10, 3] = 0
    open_photo(tab, photo)
    given = np.full((90, 120), 255, np.uint8)
    given[40:60, 50:80] = 0
    upload(tab, "mask.png", encoded(given), "#mask")
    expect_message(tab, "of the photo is hole. Does white mean the part to keep in this mask?")
    wait(tab)
    tab.get_by_label("White means").select_option("valid")
    expect_message(tab, "In this mask white is the part to keep: 6% of the photo is hole.")
    wait(tab)
    np.testing.assert_array_equal(mask(tab), given == 0)
    tab.get_by_role("button", name="Invert").click()
    np.testing.assert_array_equal(mask(tab), given > 0)
    tab.keyboard.press("Control+z")
    tab.get_by_label("Fill the transparent part").check()
    tab.get_by_label("Grow by").fill("-3")
    shrunk = (filled(tab)[..., :3] != photo[..., :3]).any(-1)
    np.testing.assert_array_equal(bounds(shrunk[20:]), [53, 43 - 20, 76, 56 - 20])
    np.testing.assert_array_equal(bounds(shrunk[:20]), [0, 0, 6, 6])  # the border of the photo is none of the hole
    tab.keyboard.press("Control+z")
    tab.get_by_label("Grow by").fill("3")
    result = filled(tab)
    changed = (result[..., :3] != photo[..., :3]).any(-1)
    np.testing.assert_array_equal(bounds(changed[20:]), [47, 37 - 20, 82, 62 - 20])
    np.testing.assert_array_equal(bounds(changed[:20]), [0, 0, 12, 12])
    assert (result[..., 3] == 255).all()


HOSTILE = "<img src=x onerror=alert(1)>.png"


def test_an_unusable_file_is_one_line(visit):
    tab, photo = visit(), noise(60, 80)
    bomb = bytearray(encoded(np.zeros((1, 1), np.uint8)))
    bomb[16:24] = (2**16).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    for name, content, text in [
        ("text.png", b"no image", "is not an image of a known format"), (HOSTILE, b"no image", "onerror"),
        ("cut.png", encoded(photo)[:-400], "cannot be read"), ("bomb.png", bytes(bomb), "65536 x 65536"),
        ("empty.png", b"", "is empty"),
    ]:  # fmt: skip
        upload(tab, name, content)
        expect_message(tab, text)
        assert tab.locator("#message[role=alert]").count() == 1
        assert not tab.locator("#view").is_visible()
    open_photo(tab, photo)
    fill(tab)
    expect_message(tab, "there is no hole yet")
    for name, given, text in [
        ("mask.png", np.zeros((80, 60), np.uint8), "the mask is 60 x 80 and its photograph 80 x 60"),
        ("photo.png", data.chelsea()[:60, :80], "as a photograph; save the mask in black and white"),
        ("nothing.png", np.zeros((60, 80), np.uint8), "nothing is to be filled"),
        ("labels.png", np.eye(60, 80, dtype=np.uint8), "of its two values (1, not 0)"),
    ]:
        upload(tab, name, encoded(given), "#mask")
        expect_message(tab, text)
        wait(tab)
    draw(tab, (0.2, 0.2), (0.4, 0.4))
    tab.get_by_role("button", name="Clear").click()
    fill(tab)
    expect_message(tab, "there is no hole yet")


@pytest.mark.parametrize("how", ["paste", "drop"])
def test_a_photo_is_pasted_or_dropped(visit, how):
    tab = visit()
    tab.evaluate("""([how, bytes]) => {
        const files = new DataTransfer();
        files.items.add(new File([Uint8Array.from(bytes)], "photo.png"));
        const event = how === "paste" ? new ClipboardEvent("paste", {clipboardData: files, bubbles: true})
          : new DragEvent("drop", {dataTransfer: files, bubbles: true, cancelable: true});
        document.body.dispatchEvent(event);
    }""", [how, list(encoded(noise(30, 40)))])
    tab.locator("#view").wait_for()
    assert tab.locator("#paint").evaluate("e => [e.width, e.height]") == [40, 30]


def test_a_second_user_sees_the_queue_and_cancels(visit, models):
    negative = models["negative"]
    first, second = visit(), visit()
    for tab in (first, second):
        open_photo(tab, noise(60, 80))
        draw(tab, (0.5, 0.5))
    calls = negative.calls
    negative.allowed.clear()
    first.locator("#fill").click()
    expect_message(first, "Filling")
    second.locator("#fill").click()
    expect_message(second, "Waiting: 1 before you")
    second.get_by_role("button", name="Cancel").click()
    expect_message(second, "Cancelled.")
    draw(first, (0.2, 0.2))  # does not paint: it would be lost
    negative.allowed.set()
    expect_message(first, "Filled")
    first.keyboard.press("Control+z")
    assert mask(first)[30, 40] and not mask(first)[12, 16]
    assert negative.calls == calls + 1
    assert mask(second).any() and second.locator("#download").is_disabled()


def test_the_model_is_chosen_in_a_menu(visit, models):
    tab = visit()
    open_photo(tab, noise(60, 80))
    tab.get_by_label("Model").select_option("other")
    draw(tab, (0.5, 0.5))
    calls = [model.calls for model in models.values()]
    fill(tab)
    assert [model.calls for model in models.values()] == [calls[0], calls[1] + 1]
