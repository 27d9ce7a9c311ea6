"""The options of a repair, as the command line names them."""

from dataclasses import dataclass

from mai_jax.errors import InputError
from mai_jax.inference import blending


@dataclass(frozen=True)
class Options:
    """How masks are read, holes are filled and results are written.

    `mask_means` and `mask_threshold` are those of `mask_reader.read`. `mask_orientation` is "stored" for masks drawn on
    the pixels as they are stored in a file whose EXIF tag turns them. Holes are grown by `grow_by` pixels. With `soft`
    the grey of a mask says how much of each pixel is filled. `blend` is that of `blending.blend`. `attention` also
    writes NAME_attention.png, a picture of the source of each filled pixel (see `provenance`). With `allow_empty` a
    photograph without a hole is copied. With `frames` files of several frames or pages are
    filled. `format` is an ending of `image_io.FORMAT_OF_SUFFIX` without its dot, None for that of the output's name;
    `quality` and `lossless` are those of `image_io.encode`. Raises InputError for an unknown `mask_means`.
    """

    mask_means: str = "hole"
    mask_threshold: int | None = None
    mask_orientation: str = "upright"
    grow_by: int = 0
    soft: bool = False
    blend: str = blending.DEFAULT
    attention: bool = False
    allow_empty: bool = False
    frames: bool = False
    format: str | None = None
    quality: int | None = None
    lossless: bool = False

    def __post_init__(self) -> None:
        if self.mask_means not in ("hole", "valid", "known"):
            raise InputError(f"mask_means={self.mask_means!r}: must be hole or valid")
