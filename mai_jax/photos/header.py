"""Opens the header of an image file without decoding its pixels."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageFile, JpegImagePlugin

from mai_jax.photos.photo import FORMAT_OF_SUFFIX

FORMATS = tuple(dict.fromkeys(FORMAT_OF_SUFFIX.values()))


def open_header(encoded: bytes) -> ImageFile.ImageFile | None:
    """The unread image, or None if it is of none of the known formats. Raises whatever Pillow does on damaged bytes.

    Pillow's own `open` is not used, because its limit of pixels is global and warns before it refuses; and because
    it gives a JPEG with a second picture another format.
    """
    Image.init()
    for name in FORMATS:
        factory, accepts = Image.OPEN.get(name, (None, None))
        if factory is not None and accepts(encoded[:16]) is True:
            factory = JpegImagePlugin.JpegImageFile if name == "JPEG" else factory
            return factory(io.BytesIO(encoded), "")
    return None


@contextmanager
def quiet() -> Iterator[None]:
    """Hides Pillow's warnings about oddities of files: what matters of them is an error of ours."""
    with warnings.catch_warnings():
        # By module, so that warnings of other threads stay visible.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield
