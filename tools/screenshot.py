"""Take the screenshot of the page for the documentation.

python -m tools.screenshot --checkpoint=runs/places2 --image=photo.jpg --output=docs/page.png
"""

import shutil
import sys
from pathlib import Path

from mai_jax.cli import app
from mai_jax.cli.arguments import Parser, comma_list
from mai_jax.demo.server import running_server
from mai_jax.errors import InputError
from mai_jax.inference import Inpainter

WIDTH = 1280
WAIT = 300_000  # milliseconds


def main() -> None:
    """Run the command."""
    parser = Parser(prog="python -m tools.screenshot", description=__doc__)
    parser.add_argument("--checkpoint", metavar="DIR", required=True, help="folder that training wrote")
    parser.add_argument("--image", metavar="FILE", required=True, help="photograph to show")
    parser.add_argument("--output", metavar="FILE", default="docs/page.png", help="picture to write")
    parser.add_argument("--stroke", type=comma_list, metavar="X,Y,X,Y", default=["0.4", "0.5", "0.6", "0.5"],
                        help="ends of the stroke that is the hole, as shares of width and height")
    parser.add_argument("--port", type=int, default=0, help="a free port; 0 lets the system choose one")
    parser.add_argument("--width", type=int, default=WIDTH, help="of the window, such as 390 of a phone")
    parser.add_argument("--colours", choices=("light", "dark"), default="light", help="colour scheme of the system")
    given = parser.parse()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as reason:
        raise InputError("the screenshot needs playwright and chromium: pip install playwright") from reason
    app.enable_compilation_cache()
    models = {given.checkpoint: Inpainter.from_checkpoint(given.checkpoint)}
    with running_server(models, "127.0.0.1", given.port) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": given.width, "height": 900}, color_scheme=given.colours)
        tab.set_default_timeout(WAIT)
        tab.goto(address)
        _fill_stroke(tab, Path(given.image), [float(share) for share in given.stroke])
        tab.screenshot(path=given.output, full_page=True)
        browser.close()


def _fill_stroke(tab, image: Path, stroke: list[float]) -> None:
    """Open the photograph, fill the stroke, show the sources of its centre, and paint a second one beside it."""
    tab.locator("html[data-ready]").wait_for()
    tab.locator("#photo").set_input_files(image)
    tab.locator("#view").wait_for()
    _drag(tab, stroke)
    tab.locator("#fill").click()
    tab.locator("#ask").click()
    _drag(tab, [(stroke[0] + stroke[2]) / 2, (stroke[1] + stroke[3]) / 2] * 2)
    tab.locator("#maps img").nth(1).wait_for()
    tab.get_by_text("Brush", exact=True).click()
    _drag(tab, [share + 0.2 for share in stroke])


def _drag(tab, stroke: list[float]) -> None:
    box = tab.locator("#paint").bounding_box()
    start, end = ((box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in (stroke[:2], stroke[2:]))
    tab.mouse.move(*start)
    tab.mouse.down()
    tab.mouse.move(*end, steps=9)
    tab.mouse.up()


if __name__ == "__main__":
    sys.exit(app.run(main))
