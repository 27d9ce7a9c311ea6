"""The work that the page keeps in the browser: after a reload, in another tab, and until it is discarded."""

import numpy as np
import pytest

from tests.demo.browsing import (
    download,
    draw,
    encoded,
    expect_message,
    fill,
    filled,
    mask,
    noise,
    open_photo,
    upload,
    wait,
)

AGAIN = "Your last work is open again"


def expect_kept(tab):
    tab.locator("#kept[data-state=kept]").wait_for()
    assert "Kept in this browser" in tab.locator("#kept").inner_text()


def reload(tab):
    expect_kept(tab)
    tab.reload()
    expect_message(tab, AGAIN)
    wait(tab)


def stored(tab):
    """Return the numbers of records and blobs in the browser's store."""
    return tab.evaluate("""() => new Promise((resolve) => {
        indexedDB.open("repair", 1).onsuccess = ({target}) => {
            const read = target.result.transaction(["tabs", "blobs"]), counts = [];
            for (const name of ["tabs", "blobs"])
                read.objectStore(name).count().onsuccess = ({target}) => counts.push(target.result);
            read.oncomplete = () => resolve(counts);
        };
    })""")


def test_a_reload_keeps_photo_strokes_and_fills(visit):
    tab, photo = visit(), noise(90, 120)
    open_photo(tab, photo)
    draw(tab, (0.2, 0.3), (0.3, 0.3))
    first = filled(tab)
    draw(tab, (0.7, 0.6))
    fill(tab)
    given = np.zeros((90, 120), np.uint8)
    given[70:80, 10:30] = 255
    upload(tab, "mask.png", encoded(given), "#mask")
    expect_message(tab, "of the photo is hole")
    wait(tab)
    draw(tab, (0.5, 0.1), (0.6, 0.1))
    hole = mask(tab)
    reload(tab)
    np.testing.assert_array_equal(mask(tab), hole)
    second = filled(tab)
    assert (second != photo).any(-1)[[27, 54, 75, 9], [30, 84, 20, 66]].all()
    for _ in range(6):
        tab.keyboard.press("Control+z")
    reload(tab)  # the steps that are undone are kept, too
    assert mask(tab)[27, 24:37].all()
    tab.keyboard.press("Control+y")
    np.testing.assert_array_equal(download(tab)[1], first)


def test_discard_removes_all_from_the_browser(visit):
    tab = visit(asked=(asked := []))
    open_photo(tab, noise(60, 80))
    draw(tab, (0.5, 0.5))
    fill(tab)
    expect_kept(tab)
    assert stored(tab) == [1, 3]  # the photo, the strokes and the filled pixels
    tab.keyboard.press("Control+z")
    draw(tab, (0.2, 0.2))
    expect_kept(tab)
    assert stored(tab) == [1, 1]
    tab.get_by_role("button", name="Discard").click()
    tab.locator("body:not(.opened)").wait_for()
    tab.locator("html[data-ready]").wait_for()
    assert stored(tab) == [0, 0]
    assert not tab.locator("#view").is_visible() and asked == ["confirm"]


def test_each_tab_has_its_own_work_and_a_new_one_that_of_a_closed_tab(visit, address):
    first = visit()
    open_photo(first, noise(60, 80))
    draw(first, (0.5, 0.5))
    expect_kept(first)
    second = first.context.new_page()
    second.goto(address)
    second.locator("html[data-ready]").wait_for()
    assert not second.locator("#view").is_visible()
    open_photo(second, noise(30, 40))
    expect_kept(second)
    second.close()
    reload(first)
    assert mask(first).shape == (60, 80)
    third = first.context.new_page()
    third.goto(address)
    expect_message(third, AGAIN)
    wait(third)
    assert mask(third).shape == (30, 40)


@pytest.mark.parametrize("script", [
    "Object.defineProperty(window, 'indexedDB', {value: {open() { throw new Error('blocked'); }}});",
    "IDBObjectStore.prototype.put = () => { throw new Error('full'); };",
])
def test_a_browser_that_keeps_nothing_says_so(visit, script):
    tab = visit(script=script, asked=(asked := []))
    open_photo(tab, noise(60, 80))
    draw(tab, (0.5, 0.5))
    fill(tab)
    tab.locator("#kept").get_by_text("download it before you leave").wait_for()
    tab.reload()
    assert asked == ["beforeunload"]
