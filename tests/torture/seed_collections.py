"""Small valid files of several pictures: animations, pages, archives and lists; and masks with soft edges."""

import io
import json
import tarfile
import zipfile

import numpy as np
from PIL import Image

from mai_jax.evaluation.mask_benchmark import plain_png
from tests.image_io import frame_files
from tests.image_io.photo_files import saved
from tests.torture import seed_inputs
from tests.torture.mutation import Tree

ENDING = {"GIF": "gif", "PNG": "png", "WEBP": "webp", "TIFF": "tif"}


def films() -> list[Tree]:
    """Return animations and files of several pages, each with one mask and with a mask of as many frames."""
    rng = np.random.default_rng(3)
    several = []
    for i in range(len(frame_files.DELAYS)):
        hole = np.zeros(frame_files.SHAPE, bool)
        hole[4 : 9 + i, 3 + i : 15] = True
        several.append(hole)
    pages = [Image.fromarray(hole) for hole in several]
    masks = [plain_png.encode(several[0]), saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])]
    return [{f"film.{ENDING[kind.split()[0].rstrip(',')]}": make(rng), "mask.png": mask}
            for kind, make in frame_files.KINDS.items() for mask in masks]  # fmt: skip


def packed_photographs() -> list[Tree]:
    """Return archives of three photographs, stored and compressed."""
    files = _three()
    return [{"photos.zip": zipped(files, zipfile.ZIP_STORED)}, {"photos.zip": zipped(files, zipfile.ZIP_DEFLATED)},
            {"photos.tar": _tarred(files, tarfile.USTAR_FORMAT)}, {"photos.tar": _tarred(files, tarfile.PAX_FORMAT)},
            {"photos.tar": _tarred(files, tarfile.GNU_FORMAT)}]  # fmt: skip


def lists() -> list[Tree]:
    """Return lists of three photographs."""
    files = _three()
    rows = "".join(f'7,"{name}",x\n' for name in files)
    texts = {"list.txt": "\n".join(files), "list.flist": "\r\n".join(files), "list.csv": f"id,path,label\n{rows}"}
    return [files | {name: text.encode()} for name, text in texts.items()]


def segments() -> list[Tree]:
    """Return an annotation file of COCO with polygons and run lengths."""
    photo = {"id": 1, "height": 20, "width": 30}
    shapes: list = [[[6, 2, 20, 2, 20, 18.5]], {"size": [20, 30], "counts": [200, 100, 50, 100, 150]}]
    rows = [{"id": i, "image_id": 1, "iscrowd": i, "segmentation": shape} for i, shape in enumerate(shapes)]
    return [{"instances.json": json.dumps({"images": [photo], "annotations": rows}).encode()}]


def soft_masks() -> list[Tree]:
    """Return masks with soft edges: greys of 8 and 16 bits, a layer of strokes, a lossy file, a palette."""
    side = seed_inputs.SIZE
    grey = np.minimum(np.arange(side * side).reshape(side, side) % (2 * side) * 9, 255).astype(np.uint8)
    strokes = np.dstack([np.full((side, side, 3), 90, np.uint8), grey])
    picture = Image.fromarray(grey)
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    return [{"mask.png": saved(picture, "PNG")}, {"mask.png": saved(deep, "PNG")},
            {"mask.png": saved(Image.fromarray(strokes), "PNG")}, {"mask.jpg": saved(picture, "JPEG")},
            {"mask.gif": saved(picture, "GIF")}, {"mask.webp": saved(Image.fromarray(strokes), "WEBP", lossless=True)},
            {"mask.tif": saved(picture, "TIFF")}]  # fmt: skip


def _three() -> dict[str, bytes]:
    values = np.random.default_rng(4).integers(0, 256, (3, seed_inputs.SIZE, seed_inputs.SIZE, 3), dtype=np.uint8)
    one, two, three = map(Image.fromarray, values)
    return {"a.png": saved(one, "PNG"), "sub/b.jpg": saved(two, "JPEG"), "sub/c.webp": saved(three, "WEBP")}


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return packed.getvalue()


def _tarred(files: dict[str, bytes], format: int) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=format) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()
