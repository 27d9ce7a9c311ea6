"""Several photographs on the page, one after the other, each with its own work."""

import numpy as np
import pytest

from tests.demo.browsing import download, draw, encoded, expect_message, fill, mask, noise, wait


def place(tab, text):
    tab.locator("#place").get_by_text(text).wait_for()
    wait(tab)


def given(names):
    """Return files of photographs with as many rows as the number in their names; others are no photographs."""
    digits = {name: "".join(filter(str.isdigit, name)) for name in names}
    return [{"name": name, "mimeType": "", "buffer": encoded(noise(int(rows), 80)) if rows else b"text"}
            for name, rows in digits.items()]  # fmt: skip


@pytest.mark.parametrize("how", ["dialog", "drop"])
def test_several_photos_are_stepped_through_each_with_its_work(visit, how):
    tab, files = visit(), given(["100.png", "no photo.txt", "60.png", "80.png"])
    if how == "dialog":
        tab.locator("#photo").set_input_files(files)
    else:
        tab.evaluate("""(given) => {
            const files = new DataTransfer();
            for (const [name, bytes] of given) files.items.add(new File([Uint8Array.from(bytes)], name));
            document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: files, bubbles: true, cancelable: true}));
        }""", [[file["name"], list(file["buffer"])] for file in files])
    place(tab, "1 of 4: 60.png")
    assert tab.locator("#previous").is_disabled()
    draw(tab, (0.2, 0.5), (0.3, 0.5))
    fill(tab)
    draw(tab, (0.7, 0.5))
    hole = mask(tab)
    tab.get_by_role("button", name="Next").click()
    place(tab, "2 of 4: 80.png")
    assert mask(tab).shape == (80, 80) and not mask(tab).any() and tab.locator("#download").is_disabled()
    draw(tab, (0.5, 0.5))
    tab.keyboard.press("n")
    place(tab, "3 of 4: 100.png")
    tab.keyboard.press("n")  # to the text
    expect_message(tab, "no photo.txt: is not an image of a known format")
    place(tab, "3 of 3: 100.png")
    assert tab.locator("#next").is_disabled()
    tab.locator("#kept[data-state=kept]").wait_for()
    tab.reload()
    place(tab, "3 of 3: 100.png")
    tab.keyboard.press("p")
    place(tab, "2 of 3: 80.png")
    assert mask(tab)[40, 40]
    tab.get_by_role("button", name="Previous").click()
    place(tab, "1 of 3: 60.png")
    np.testing.assert_array_equal(mask(tab), hole)
    name, result, _ = download(tab)
    assert name == "60_filled.png" and (result != noise(60, 80)).any(-1)[30, 16:24].all()


def test_one_unusable_photo_leaves_the_open_ones(visit):
    tab = visit()
    tab.locator("#photo").set_input_files(given(["60.png", "80.png"]))
    place(tab, "1 of 2: 60.png")
    tab.locator("#photo").set_input_files(given(["text.png"]))
    expect_message(tab, "text.png: is not an image")
    place(tab, "1 of 2: 60.png")
