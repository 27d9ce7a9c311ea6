"""Make the pictures of the README that show the quickstart's checkpoint on a photograph outside its training set.

python -m tools.pictures runs/quickstart    (make pictures)

docs/repair.png is made by inpaint.py --attention, docs/page.png by demo.py in headless Chromium.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import skimage
from PIL import Image, ImageDraw

PHOTO = Path(skimage.__file__).parent / "data" / "chelsea.png"
DOCS = Path(__file__).parents[1] / "docs"


def main(checkpoint: str) -> None:
    """Write both pictures; `checkpoint` is a training folder."""
    with tempfile.TemporaryDirectory() as scratch:
        mask = Image.new("1", Image.open(PHOTO).size)
        ImageDraw.Draw(mask).line([(60, 60), (120, 110), (190, 60)], fill=1, width=14)
        mask.save(f"{scratch}/mask.png")
        run("inpaint.py", f"--checkpoint={checkpoint}", f"--image={PHOTO}", f"--mask={scratch}/mask.png",
            f"--output={scratch}/filled.png", "--attention")
        Image.open(f"{scratch}/filled_attention.png").save(DOCS / "repair.png", optimize=True)
        run("-m", "tools.screenshot", f"--checkpoint={checkpoint}", f"--image={PHOTO}",
            f"--output={scratch}/page.png", "--stroke=0.1,0.3,0.3,0.2")
        Image.open(f"{scratch}/page.png").convert("RGB").quantize(256).save(DOCS / "page.png", optimize=True)


def run(*command: str) -> None:
    """Run a Python command in the repository root."""
    subprocess.run([sys.executable, *command], cwd=DOCS.parent, check=True)


if __name__ == "__main__":
    main(sys.argv[1])
