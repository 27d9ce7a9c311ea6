"""Filling of a file of several frames or pages: animated GIF, PNG and WebP, and TIFF.

Frames are filled as they are stored. A stored frame of an animation shows some pixels and leaves the others as they
were, so in the hole only the pixels that it shows are filled, and the others, which are filled already, belong to their
surroundings: what does not move does not flicker, and the file keeps its structure. If each frame has its own mask, a
frame may have to show more pixels than that of the original: those that come into the hole, to be filled, and those
that come out of it, to be as they were.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from mai_jax import image_io
from mai_jax.errors import InputError
from mai_jax.image_io import Frame, Frames, Photo
from mai_jax.image_io.canvas import Canvas, box_of
from mai_jax.image_io.patches import patch
from mai_jax.inference import Inpainter, photo_files
from mai_jax.inference.filling import Repair, count_parts, fill_pixels
from mai_jax.inference.frame_masks import open_masks
from mai_jax.inference.options import Options
from mai_jax.inference.photo_holes import Hole, hole_from_transparency, hole_of_masks, nothing_to_fill
from mai_jax.inference.photo_jobs import Job

Progress = Callable[[Iterable[Frame], int], Iterable[Frame]]  # (frames, their number) -> the frames
SILENT: Progress = lambda frames, number: frames  # noqa: E731
HoleOf = Callable[[int, Photo, tuple[int, int]], Hole]  # (index, decoded frame, size of the canvas) -> its hole


def fill(
    inpainter: Inpainter, source: bytes, job: Job, options: Options, progress: Progress = SILENT
) -> tuple[bytes, Repair]:  # fmt: skip
    """Return the file with the holes of all frames filled, or the same file if they are empty.

    Raises InputError if a frame or a mask cannot be used, or all holes are empty and `options.allow_empty` is not set.
    """
    name = photo_files.name_of(job.image)
    frames = image_io.split(source, name)
    if photo_files.format_of_result(job, frames.format, options) != frames.format:
        raise InputError(f"{name}: its {frames.number} frames can only be written as {frames.format}; give an output "
                         "of the same ending and leave out --format")
    hole_of, animation, reading = _open_holes(job, frames, name, options), None, ""
    done: list[Frame] = []
    parts: list[int] = []
    shares: list[float] = []
    for index, frame in enumerate(progress(frames.frames, frames.number)):
        photo = image_io.decode(frame.source, f"{name}, frame {index + 1}")
        hole = hole_of(index, photo, photo.rgb.shape[:2] if frame.is_page else frames.size)
        if frame.is_page:
            filled = fill_pixels(inpainter, photo.rgb, hole, options)
            done.append(replace(frame, source=_encode(photo, filled, hole.pixels, options, opaque_hole=not job.masks)))
        else:
            _check_place(frame, photo, frames.size)
            animation = animation or _Animation(inpainter, frames.size, photo.rgb.dtype, options)
            done.append(animation.fill(frame, photo, hole))
        reading = hole.reading if not reading or (hole.pixels.any() and not any(parts)) else reading
        parts.append(count_parts(hole.pixels))
        shares.append(float(hole.pixels.mean()))
    if any(parts):
        repair = Repair("filled", reading, max(parts), float(np.mean(shares)), len(done))
        return image_io.join(source, name, done), repair
    if not options.allow_empty:
        raise InputError(nothing_to_fill(job, reading))
    return source, Repair("unchanged", reading, 0, 0.0, len(done))


def _check_place(frame: Frame, photo: Photo, size: tuple[int, int]) -> None:
    rows, columns = box_of(frame, photo)
    if rows.stop > size[0] or columns.stop > size[1]:
        raise InputError(f"{photo.name}: lies outside of the picture; save the file again")


def _open_holes(job: Job, frames: Frames, name: str, options: Options) -> HoleOf:
    if not job.masks:
        if frames.format != "TIFF":
            raise InputError(f"{name}: transparency is no hole in frames, where it leaves what was there; give "
                             "--mask=FILE")
        return lambda index, photo, size: hole_from_transparency(photo, options)
    is_for_all, mask_of = open_masks(job.masks, frames.number, name)
    cached: dict[tuple[tuple[int, int], int], Hole] = {}

    def hole_of(index: int, photo: Photo, size: tuple[int, int]) -> Hole:
        key = size, photo.orientation
        if not is_for_all or key not in cached:
            cached[key] = hole_of_masks([mask_of(index)], size, options, photo.name, photo.orientation)
        return cached[key]

    return hole_of


class _Animation:
    """The original as it is shown, and the filled one, after the frames so far."""

    def __init__(self, inpainter: Inpainter, size: tuple[int, int], dtype: np.dtype, options: Options) -> None:
        self._inpainter, self._options = inpainter, options
        self._original, self._filled = Canvas(size, dtype), Canvas(size, dtype)

    def fill(self, frame: Frame, photo: Photo, hole: Hole) -> Frame:
        """Return the next frame with its hole filled."""
        original, filled, box = self._original, self._filled, box_of(frame, photo)
        original.paint(frame, photo)
        shown, covered = filled.paint(frame, photo)
        # A clearing frame that became larger has cleared more.
        wrong = ~hole.pixels & (filled.is_fill | ((filled.alpha == 0) & (original.alpha > 0)))
        fits = filled.is_fill | covered
        missing = hole.pixels & (original.alpha > 0) & ~fits
        changed = wrong | missing
        filled.rgb[changed], filled.alpha[changed] = original.rgb[changed], original.alpha[changed]
        filled.is_fill[wrong] = False
        open_pixels = hole.pixels & shown | missing
        filled.rgb = fill_pixels(self._inpainter, filled.rgb, hole._replace(pixels=open_pixels), self._options)
        filled.is_fill |= open_pixels
        new, new_box = frame, box
        if changed.any():
            settings = {"quality": self._options.quality, "lossless": self._options.lossless}
            new, new_box = patch(frame, photo, filled, shown | changed, hole.pixels, **settings)
        elif hole.pixels[box].any():
            new = replace(frame, source=_encode(photo, filled.rgb[box], hole.pixels[box], self._options))
        original.dispose(frame, box)
        filled.dispose(new, new_box)
        return new


def _encode(photo: Photo, rgb: np.ndarray, hole: np.ndarray, options: Options, *, opaque_hole: bool = False) -> bytes:
    return image_io.encode(photo, rgb, hole, opaque_hole=opaque_hole, quality=options.quality,
                           lossless=options.lossless)
