"""The picture of the page in the docs.

python -m mai_jax.demo.screenshot --checkpoint=runs/places2 --image=photo.jpg --output=docs/page.png
"""

import shutil
from pathlib import Path

from absl import flags

from mai_jax import command
from mai_jax.demo.server import served
from mai_jax.inference import Inpainter
from mai_jax.types import InputError

CHECKPOINT = flags.DEFINE_string("checkpoint", None, "The folder that training wrote.", required=True)
IMAGE = flags.DEFINE_string("image", None, "The photograph to show.", required=True)
OUTPUT = flags.DEFINE_string("output", "docs/page.png", "Where the picture goes.")
STROKE = flags.DEFINE_list("stroke", ["0.4", "0.5", "0.6", "0.5"], "The hole: x, y to x, y in shares of the photo.")
PORT = flags.DEFINE_integer("port", 7861, "A free port.")
WIDTH = 1280


def main() -> None:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as reason:
        raise InputError("the picture needs playwright and chromium: pip install playwright") from reason
    inpainter = Inpainter.from_checkpoint(CHECKPOINT.value)
    with served(inpainter, "127.0.0.1", PORT.value) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": WIDTH, "height": 900})
        tab.goto(address)
        _use(tab, Path(IMAGE.value), [float(share) for share in STROKE.value])
        tab.screenshot(path=OUTPUT.value, full_page=True)
        browser.close()


def _use(tab, image: Path, stroke: list[float]) -> None:
    """Paints the stroke over the photograph, fills it and clicks into the middle of it."""
    tab.locator("#photo input[type=file]").set_input_files(image)
    box = tab.locator("#brush canvas").bounding_box()
    start, end = ((box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in (stroke[:2], stroke[2:]))
    tab.mouse.move(*start)
    tab.mouse.down()
    tab.mouse.move(*end, steps=9)
    tab.mouse.up()
    tab.locator("#fill").click()
    spot = tab.locator("#spot img").bounding_box(timeout=300_000)
    tab.mouse.click(spot["x"] + spot["width"] * (stroke[0] + stroke[2]) / 2,
                    spot["y"] + spot["height"] * (stroke[1] + stroke[3]) / 2)
    tab.locator("#attention_2 img").wait_for(timeout=300_000)


if __name__ == "__main__":
    command.run(main)
