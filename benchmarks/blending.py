"""Jump across the border of a filled hole, and PSNR inside it, with and without blending (inference/blending.py).

python -m benchmarks.blending --checkpoint=DIR --photos=DIR

A row is a kind of hole: a scratch, a blob, a box, of fixed size in pixels, at a random place in each photograph. The
jump is the mean difference, in levels of 0 to 255, between a pixel of the hole and the given pixels beside it.
"""

import sys

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image
from skimage.draw import line
from skimage.morphology import isotropic_dilation

from mai_jax.cli import app
from mai_jax.cli.arguments import Parser, integer
from mai_jax.files import find_images
from mai_jax.inference import Inpainter
from mai_jax.inference.blending import blend

WIDTH, BLOB, BOX = 5, (56, 80), (110, 140)  # of the scratch; height and width

Photo = UInt8[np.ndarray, "h w 3"]
Hole = Bool[np.ndarray, "h w"]


def holes(rng: np.random.Generator, h: int, w: int) -> dict[str, Hole]:
    """Return one hole of each kind for a photograph of at least 120 x 160 pixels."""
    y, x = np.mgrid[:h, :w]
    scratch = np.zeros((h, w), bool)
    scratch[line(*rng.integers(0, (h, w // 3)), *rng.integers((0, w - w // 3), (h, w)))] = True
    (blob_h, blob_w), (box_h, box_w) = BLOB, BOX
    top, left = rng.integers(0, (h - blob_h, w - blob_w))
    blob = ((y - top - blob_h / 2) / (blob_h / 2)) ** 2 + ((x - left - blob_w / 2) / (blob_w / 2)) ** 2 <= 1
    top, left = rng.integers(0, (h - box_h, w - box_w))
    box = (top <= y) & (y < top + box_h) & (left <= x) & (x < left + box_w)
    return {"scratch": isotropic_dilation(scratch, WIDTH / 2), "blob": blob, "box": box}


def jump(filled: Photo, hole: Hole) -> float:
    """Return the mean difference of channels between neighbours of which one is in the hole, in levels."""
    differences = []
    for axis in (0, 1):
        border = np.diff(hole.astype(np.int8), axis=axis) != 0
        differences.append(np.abs(np.diff(filled.astype(float), axis=axis))[border])
    return float(np.concatenate(differences).mean())


def psnr(filled: Photo, photo: Photo, hole: Hole) -> float:
    """Return the PSNR inside the hole."""
    return float(10 * np.log10(255**2 / np.mean((filled[hole].astype(float) - photo[hole]) ** 2)))


def main() -> None:
    parser = Parser(prog="python -m benchmarks.blending", description=__doc__)
    parser.add_argument("--checkpoint", metavar="DIR", required=True, help="folder that training wrote")
    parser.add_argument("--photos", metavar="DIR", required=True, help="folder of photographs")
    parser.add_argument("--photographs", type=integer(at_least=1), default=36, help="how many of them are used")
    given = parser.parse()
    app.enable_compilation_cache()
    inpainter, rng = Inpainter.from_checkpoint(given.checkpoint), np.random.default_rng(0)
    names = find_images(given.photos, "photographs")
    rows: dict[str, list[list[float]]] = {}
    for name in names[:: max(len(names) // given.photographs, 1)][: given.photographs]:
        photo = np.asarray(Image.open(f"{given.photos}/{name}").convert("RGB"))
        for kind, hole in holes(rng, *photo.shape[:2]).items():
            filled = inpainter(photo, hole)
            telea = cv2.inpaint(photo, hole.astype(np.uint8), 3, cv2.INPAINT_TELEA)
            fills = (filled, blend(photo, hole, filled), telea)
            rows.setdefault(kind, []).append([jump(photo, hole), *(jump(fill, hole) for fill in fills),
                                              *(psnr(fill, photo, hole) for fill in fills)])
    print("         jump: truth   none  gradient  telea  PSNR:  none  gradient  telea  better than none and telea in")
    for kind, values in rows.items():
        truth, *jumps = np.mean(values, 0)[:4]
        none, gradient, telea = np.array(values)[:, 4:].T
        print(f"{kind:8} {truth:12.1f} {jumps[0]:6.1f} {jumps[1]:9.1f} {jumps[2]:6.1f} {none.mean():12.2f} "
              f"{gradient.mean():9.2f} {telea.mean():6.2f}  {np.sum(gradient > none)} and {np.sum(gradient > telea)} "
              f"of {len(values)}")


if __name__ == "__main__":
    sys.exit(app.run(main))
