"""Mean PSNR inside a hole of a larger photograph, by the size of the hole and the window's shrink.

python -m benchmarks.windows --checkpoint=DIR --photos=DIR

A row is a round hole, its diameter in multiples of the network's input size; a column is a shrink. The hole ratio of
the window is in brackets. `MAX_RATIO` of inference/inpainter.py was chosen from this table.
"""

import sys

import numpy as np
from PIL import Image

from mai_jax.cli import app
from mai_jax.cli.arguments import Parser, integer
from mai_jax.files import find_images
from mai_jax.inference import Inpainter, tiling
from mai_jax.inference.tiling import Plan, Window

WIDTHS, SHRINKS = (0.25, 0.375, 0.5, 0.75, 1.0, 1.5, 2.0), (1, 2, 3, 4, 5)


def psnr_in_hole(inpainter: Inpainter, photo: np.ndarray, width: float, shrink: int) -> float:
    """Return the PSNR inside a round hole in the centre of `photo`, a square of max(SHRINKS) times the input size."""
    side, size = len(photo), inpainter.config.image_size
    y, x = np.mgrid[:side, :side] + 0.5 - side / 2
    hole = np.hypot(y, x) < width * size / 2
    window = Window(*[(side - size * shrink) // 2] * 2, shrink, size)
    plan = Plan([window], np.full(2 * [-(-side // tiling.BLOCK)], shrink))
    given, window_hole = tiling.cut(photo, hole, window)
    prediction = np.asarray(inpainter.predict(np.uint8(np.rint(given * 255))[None], window_hole[None]))[0]
    filled = tiling.paste(photo, hole, plan, [(window, np.where(window_hole[..., None], prediction, given))])
    return 10 * np.log10(255**2 / np.mean((filled[hole].astype(float) - photo[hole]) ** 2))


def main() -> None:
    parser = Parser(prog="python -m benchmarks.windows", description=__doc__)
    parser.add_argument("--checkpoint", metavar="DIR", required=True, help="folder that training wrote")
    parser.add_argument("--photos", metavar="DIR", required=True, help="folder of photographs")
    parser.add_argument("--photographs", type=integer(at_least=1), default=25, help="how many of them are used")
    given = parser.parse()
    app.enable_compilation_cache()
    inpainter = Inpainter.from_checkpoint(given.checkpoint)
    size = inpainter.config.image_size
    names = find_images(given.photos, "photographs")
    names = names[:: max(len(names) // given.photographs, 1)][: given.photographs]
    square = (size * max(SHRINKS),) * 2
    photos = [np.asarray(Image.open(f"{given.photos}/{name}").convert("RGB").resize(square)) for name in names]
    print("width  " + "".join(f"shrink {shrink}      " for shrink in SHRINKS))
    for width in WIDTHS:
        cells = []
        for shrink in SHRINKS:
            fits = width < shrink
            mean = np.mean([psnr_in_hole(inpainter, photo, width, shrink) for photo in photos]) if fits else np.nan
            cells.append(f"{mean:6.2f} ({np.pi / 4 * (width / shrink) ** 2:4.2f})" if fits else " " * 13)
        print(f"{width:5.3f}  " + "  ".join(cells))


if __name__ == "__main__":
    sys.exit(app.run(main))
