"""What a user does on the page."""

import io

import numpy as np
from PIL import Image


def noise(height, width):
    """Return a photograph of which a fill changes every pixel, nearly certainly."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def encoded(image, form="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, form, **options)
    return file.getvalue()


def upload(tab, name, content, element="#photo"):
    tab.locator(element).set_input_files({"name": name, "mimeType": "", "buffer": content})


def open_photo(tab, image, name="photo.png", **options):
    upload(tab, name, encoded(image, **options))
    tab.locator("#view").wait_for()
    wait(tab)


def wait(tab):
    """Wait until no request runs."""
    tab.locator("#fill:enabled").wait_for()


def at(tab, point):
    """Return the position on the screen of a point of the photo, in fractions of its width and height."""
    element = tab.locator("#paint")
    tab.locator("#view").scroll_into_view_if_needed()
    box = element.bounding_box()
    return box["x"] + box["width"] * point[0], box["y"] + box["height"] * point[1]


def scale(tab):
    """Return the number of pixels of the screen per pixel of the photo as it is displayed."""
    return tab.locator("#paint").bounding_box()["width"] / tab.locator("#paint").evaluate("e => e.width")


def draw(tab, *points):
    """Drag the mouse over points, in fractions of the photo's width and height."""
    tab.mouse.move(*at(tab, points[0]))
    tab.mouse.down()
    for point in points[1:]:
        tab.mouse.move(*at(tab, point), steps=5)
    tab.mouse.up()


def fill(tab):
    tab.get_by_role("button", name="Fill", exact=True).click()
    wait(tab)


def download(tab, button="#download"):
    """Return the name, pixels and Pillow info of the file that a button saves."""
    with tab.expect_download() as saved:
        tab.locator(button).click()
    with Image.open(saved.value.path()) as image:
        return saved.value.suggested_filename, np.asarray(image), image.info


def filled(tab):
    """Press Fill and return the pixels of the result's file."""
    fill(tab)
    result = download(tab)[1]
    wait(tab)
    return result


def mask(tab):
    """Return the hole that is painted, bool."""
    return download(tab, "#save-mask")[1][..., 0] > 0


def expect_message(tab, text):
    tab.locator("#message").get_by_text(text).wait_for()
    assert "\n" not in tab.locator("#message").inner_text()


def bounds(changed):
    """Return (left, top, right, bottom) of the True pixels."""
    rows, columns = (np.flatnonzero(changed.any(axis)) for axis in (1, 0))
    return np.array([columns[0], rows[0], columns[-1], rows[-1]])
