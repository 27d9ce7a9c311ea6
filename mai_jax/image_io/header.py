"""Headers of image files: opening without decoding of pixels, and properties of WebP and AVIF that Pillow lacks."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageFile, JpegImagePlugin

from mai_jax.image_io.photo import FORMAT_OF_SUFFIX

FORMATS = tuple(dict.fromkeys(FORMAT_OF_SUFFIX.values()))
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
# Signatures of formats that Pillow reads and this package does not write.
READ_ONLY = {b"P": "PPM", b"\0\0\0\x0cjP  ": "JPEG 2000", b"\xff\x4f\xff\x51": "JPEG 2000"}


def open_header(encoded: bytes) -> ImageFile.ImageFile | None:
    """Return the image with its pixels not yet read, or None if it has none of FORMATS.

    Raises any exception of Pillow on damaged bytes. `Image.open` is not used, because its pixel limit is global and
    warns before it rejects, and because it changes the format of a JPEG with a second picture.
    """
    Image.init()
    if is_heif(encoded):
        register_heif()
    for name in FORMATS:
        factory, accepts = Image.OPEN.get(name, (None, None))
        if factory is not None and accepts is not None and accepts(encoded[:16]) is True:
            factory = JpegImagePlugin.JpegImageFile if name == "JPEG" else factory
            return factory(io.BytesIO(encoded), "")
    return None


def is_heif(encoded: bytes) -> bool:
    """Return whether the first bytes are those of a HEIC or HEIF file; an AVIF may name one of its brands."""
    return encoded[4:8] == b"ftyp" and encoded[8:12] in HEIF_BRANDS and b"avif" not in encoded[8:64]


def advice(encoded: bytes) -> str:
    """Return what an image of none of FORMATS is, as far as its first bytes say, and what to do."""
    if is_heif(encoded):
        return "is a HEIC file; install pillow-heif to read it (pip install 'mai_jax[heif]'), or save it as JPEG"
    for signature, name in READ_ONLY.items():
        if encoded.startswith(signature) and (signature != b"P" or encoded[1:2] in b"123456"):
            return f"is a {name} file, which is not written; convert it to PNG"
    return f"is not an image of a known format; save it as one of {', '.join(FORMATS)}"


def register_heif() -> bool:
    """Make Pillow read and write HEIC files; return False if the extra `heif` is not installed."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


@contextmanager
def ignore_pillow_warnings() -> Iterator[None]:
    """Hide Pillow's warnings about irregular files; what matters of them raises InputError in this package."""
    with warnings.catch_warnings():
        # By module, so that warnings of other threads stay visible.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def webp_is_lossless(encoded: bytes) -> bool:
    """Return whether the image chunk of a WebP is the lossless one (RFC 9649)."""
    place = 12
    while encoded[place : place + 4] not in (b"VP8L", b"VP8 ", b""):
        size = int.from_bytes(encoded[place + 4 : place + 8], "little")
        place += 8 + size + size % 2
    return encoded[place : place + 4] == b"VP8L"


def avif_bits(encoded: bytes) -> int:
    """Return the bits per channel of an AVIF."""
    flags = _avif_flags(encoded)
    return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10


def avif_subsampling(encoded: bytes) -> str:
    """Return the chroma subsampling of an AVIF as Pillow names it."""
    return {0b00: "4:4:4", 0b10: "4:2:2"}.get(_avif_flags(encoded) >> 2 & 0b11, "4:2:0")


def _avif_flags(encoded):
    """Return the third byte of the first image's configuration (AV1 in ISO base media, section 2.3.3)."""
    place = encoded.find(b"av1C")
    return encoded[place + 6] if 0 <= place < len(encoded) - 6 else 0
