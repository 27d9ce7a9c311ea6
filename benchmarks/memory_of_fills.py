"""Memory of one process that fills many photographs, as `mai inpaint` does: file by file, each with its own mask.

python -m benchmarks.memory_of_fills --model=NAME|DIR --fills=1000

Photographs are noise of different sizes and modes, holes are random rectangles, so that windows differ in number. A row
is a tenth of the fills: the resident memory of the process after it, in MB, and the time.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from mai_jax.cli import app, model_argument
from mai_jax.cli.arguments import Parser, integer
from mai_jax.inference.photo_jobs import Job
from mai_jax.inference.photo_repair import fill

SIDES = (200, 900)  # pixels
ENDINGS = ("jpg", "png", "webp", "tif")


def resident() -> float:
    """Return the resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def write_job(folder: Path, rng: np.random.Generator) -> Job:
    """Write a photograph and its mask, and return their job."""
    height, width = rng.integers(*SIDES, 2)
    hole = np.zeros((height, width), bool)
    for _ in range(rng.integers(1, 5)):
        top, left = rng.integers(height - 60), rng.integers(width - 60)
        hole[top : top + rng.integers(3, 60), left : left + rng.integers(3, 60)] = True
    image = folder / f"photo.{rng.choice(ENDINGS)}"
    Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(image)
    Image.fromarray(hole).save(folder / "mask.png")
    return Job(image, (folder / "mask.png",), folder / f"filled{image.suffix}")


def main() -> None:
    parser = Parser(prog="python -m benchmarks.memory_of_fills", description=__doc__)
    model_argument.add_model(parser, "--checkpoint")
    parser.add_argument("--step", type=int, help="step of the checkpoint; default: the newest")
    parser.add_argument("--fills", type=integer(at_least=10), default=1000, help="how many photographs are filled")
    given = parser.parse()
    app.enable_compilation_cache()
    inpainter, rng = model_argument.open_inpainter(given), np.random.default_rng(0)
    print(f"{'fills':>6} {'MB':>7} {'s':>7}")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for done in range(1, given.fills + 1):
            fill(inpainter, write_job(Path(folder), rng))
            if done == 1 or done % (given.fills // 10) == 0:
                print(f"{done:6} {resident():7.0f} {time.perf_counter() - start:7.1f}", flush=True)


if __name__ == "__main__":
    sys.exit(app.run(main))
