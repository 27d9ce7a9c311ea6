"""The masks of the frames of a file: one for all, or one for each."""

from collections.abc import Callable, Sequence
from pathlib import Path

from mai_jax.data import images
from mai_jax.errors import InputError
from mai_jax.inference import photo_files
from mai_jax.inference.photo_holes import MaskImage, decode_mask, read_mask


def open_masks(masks: Sequence[Path], number: int, name: str) -> tuple[bool, Callable[[int], MaskImage]]:
    """Return whether all frames have one mask, and a function from the index of a frame to its mask.

    `masks` are one file of one frame, for all, one file with as many frames as the file `name`, `number`, or as many
    files. Raises InputError for another number.
    """
    if len(masks) == number > 1:
        return False, lambda index: read_mask(masks[index])
    if len(masks) > 1:
        raise InputError(f"{name}: has {number} frames and {len(masks)} masks; give one mask for all frames, or one "
                         "for each")
    encoded, mask_name = photo_files.read(masks[0], "a mask file"), photo_files.name_of(masks[0])
    frames = images.Frames(encoded, mask_name)
    if frames.number == 1:
        mask = decode_mask(encoded, mask_name)
        return True, lambda index: mask
    if frames.number != number:
        raise InputError(f"{mask_name}: has {frames.number} frames, and {name} has {number}; give one mask for all "
                         "frames, or one for each")
    return False, lambda index: MaskImage(f"{mask_name}, frame {index + 1}", frames[index])
