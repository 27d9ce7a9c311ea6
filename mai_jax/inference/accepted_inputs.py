"""What callers of the library give as a photograph and its hole, as arrays."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from PIL import Image

from mai_jax import image_io
from mai_jax.data import images, mask_reader
from mai_jax.errors import InputError
from mai_jax.files import read_file
from mai_jax.inference.tiling import Pixels


def as_arrays(image: Any, hole: Any) -> tuple[Pixels, Bool[np.ndarray, "h w"]]:
    """Return the photograph, uint8 or uint16 [h, w, 3], and its hole, bool [h, w], True in the hole.

    Both may be arrays (NumPy, JAX) of these types, images of Pillow, or files. A file is turned upright by its EXIF
    tag, an image of Pillow is used as it is. Transparency of the photograph is dropped; in masks white is the hole (see
    `mask_reader.read`). Raises InputError for anything else.
    """
    pixels = _as_pixels(image)
    missing = _as_hole(hole, pixels.shape[:2])
    if missing.dtype != bool or missing.shape != pixels.shape[:2]:
        raise InputError(f"hole: is {missing.dtype} {missing.shape}; give bool {pixels.shape[:2]}, True in the hole, "
                         "such as mask > 127")
    return pixels, missing


def _as_pixels(image: Any) -> Pixels:
    if isinstance(image, str | Path):
        return image_io.decode(_read(image), str(image)).rgb
    pixels = _of_pillow(image) if isinstance(image, Image.Image) else _array(image, "image")
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InputError(f"image: is {pixels.dtype} {pixels.shape}; give uint8 or uint16 [height, width, 3]")
    if pixels.size == 0:
        raise InputError(f"image: is {pixels.shape}, which has no pixels; give at least one")
    return pixels


def _as_hole(hole: Any, shape: tuple[int, ...]) -> np.ndarray:
    if isinstance(hole, str | Path):
        mask = mask_reader.read_file(hole, "hole")
        mask_reader.check_size(mask, str(hole), shape)
        return mask.hole
    if isinstance(hole, Image.Image):
        return mask_reader.interpret(_loaded(hole, "hole"), "hole", "hole").hole
    return _array(hole, "hole")


def _of_pillow(image: Image.Image) -> np.ndarray:
    image = _loaded(image, "image")
    if image.mode in images.DEEP_MODES and image.mode not in ("F", "I"):
        return np.repeat(np.asarray(image).astype(np.uint16)[..., None], 3, axis=2)
    if image.mode in ("F", "I"):
        raise InputError(f"image: has pixels of the kind {image.mode}, which have no defined range; convert it to RGB")
    return np.asarray(image.convert("RGB"))


def _loaded(image: Image.Image, name: str) -> Image.Image:
    try:
        image.load()
    except Exception as reason:  # Pillow decodes a file on first use, and raises anything on damaged bytes
        raise InputError(f"{name}: cannot be read as an image ({reason}); replace it") from reason
    return image


def _array(values: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except Exception as reason:  # of the library whose array it is, or rows of different length
        raise InputError(f"{name}: is {type(values).__name__}, not an array ({reason})") from reason


def _read(path: str | Path) -> bytes:
    try:
        return read_file(Path(path).expanduser())
    except OSError as reason:
        raise InputError(f"{path}: cannot be read ({reason.strerror}); give a photograph") from reason
