"""With which shrink a hole in a larger photograph is best painted: mean PSNR inside the hole.

python -m benchmarks.windows --checkpoint=DIR --photos=DIR

A row is a round hole, as wide as the given multiple of the network's square; a column a shrink, with the share of
its window that is hole in brackets. `MAX_RATIO` of inference/inpainter.py rests on this table.
"""

import numpy as np
from absl import flags
from PIL import Image

from mai_jax import command
from mai_jax.data.folder import find_images
from mai_jax.inference import Inpainter, windows
from mai_jax.inference.windows import Plan, Window

CHECKPOINT = flags.DEFINE_string("checkpoint", None, "A training folder.", required=True)
PHOTOS = flags.DEFINE_string("photos", None, "A folder of photographs.", required=True)
PHOTOGRAPHS = flags.DEFINE_integer("photographs", 25, "How many of them.")
WIDTHS, SHRINKS = (0.25, 0.375, 0.5, 0.75, 1.0, 1.5, 2.0), (1, 2, 3, 4, 5)


def psnr_in_hole(inpainter: Inpainter, photo: np.ndarray, width: float, shrink: int) -> float:
    """`photo` is a square of max(SHRINKS) times the network's size, with a round hole in its middle."""
    side, size = len(photo), inpainter.config.image_size
    y, x = np.mgrid[:side, :side] + 0.5 - side / 2
    hole = np.hypot(y, x) < width * size / 2
    window = Window(*[(side - size * shrink) // 2] * 2, shrink, size)
    plan = Plan([window], np.full(2 * [-(-side // windows.BLOCK)], shrink))
    seen, unseen = windows.cut(photo, hole, window)
    painted = np.asarray(inpainter.paint(np.uint8(np.rint(seen * 255))[None], unseen[None]))[0]
    filled = windows.paste(photo, hole, plan, [(window, np.where(unseen[..., None], painted, seen))])
    return 10 * np.log10(255**2 / np.mean((filled[hole].astype(float) - photo[hole]) ** 2))


def main() -> None:
    inpainter = Inpainter.from_checkpoint(CHECKPOINT.value)
    size = inpainter.config.image_size
    names = find_images(PHOTOS.value, "photographs")
    names = names[:: max(len(names) // PHOTOGRAPHS.value, 1)][: PHOTOGRAPHS.value]
    square = (size * max(SHRINKS),) * 2
    photos = [np.asarray(Image.open(f"{PHOTOS.value}/{name}").convert("RGB").resize(square)) for name in names]
    print("width  " + "".join(f"shrink {shrink}      " for shrink in SHRINKS))
    for width in WIDTHS:
        cells = []
        for shrink in SHRINKS:
            fits = width < shrink
            mean = np.mean([psnr_in_hole(inpainter, photo, width, shrink) for photo in photos]) if fits else np.nan
            cells.append(f"{mean:6.2f} ({np.pi / 4 * (width / shrink) ** 2:4.2f})" if fits else " " * 13)
        print(f"{width:5.3f}  " + "  ".join(cells))


if __name__ == "__main__":
    command.run(main)
