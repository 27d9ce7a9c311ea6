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


def main() -> None:
    """Run the command."""
    parser = Parser(prog="python -m tools.screenshot", description=__doc__)
    parser.add_argument("--checkpoint", metavar="DIR", required=True, help="folder that training wrote")
    parser.add_argument("--image", metavar="FILE", required=True, help="photograph to show")
    parser.add_argument("--output", metavar="FILE", default="docs/page.png", help="picture to write")
    parser.add_argument("--stroke", type=comma_list, metavar="X,Y,X,Y", default=["0.4", "0.5", "0.6", "0.5"],
                        help="ends of the stroke that is the hole, as shares of width and height")
    parser.add_argument("--port", type=int, default=7861, help="a free port")
    given = parser.parse()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as reason:
        raise InputError("the screenshot needs playwright and chromium: pip install playwright") from reason
    app.enable_compilation_cache()
    inpainter = Inpainter.from_checkpoint(given.checkpoint)
    with running_server(inpainter, "127.0.0.1", given.port) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": WIDTH, "height": 900})
        tab.goto(address)
        _fill_stroke(tab, Path(given.image), [float(share) for share in given.stroke])
        tab.screenshot(path=given.output, full_page=True)
        browser.close()


def _fill_stroke(tab, image: Path, stroke: list[float]) -> None:
    """Upload the photograph, draw the stroke, fill it and click on its centre."""
    tab.locator("#photo input[type=file]").set_input_files(image)
    box = tab.locator("#brush canvas").bounding_box()
    start, end = ((box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in (stroke[:2], stroke[2:]))
    tab.mouse.move(*start)
    tab.mouse.down()
    tab.mouse.move(*end, steps=9)
    tab.mouse.up()
    tab.locator("#fill").click()
    result = tab.locator("#outlined img").bounding_box(timeout=300_000)
    tab.mouse.click(result["x"] + result["width"] * (stroke[0] + stroke[2]) / 2,
                    result["y"] + result["height"] * (stroke[1] + stroke[3]) / 2)
    tab.locator("#attention_2 img").wait_for(timeout=300_000)


if __name__ == "__main__":
    sys.exit(app.run(main))
