"""A file that cannot be used raises a one-line error with the file and the fix, at bounded cost."""

import io
import struct
import time
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from mai_jax import image_io
from mai_jax.errors import InputError
from tests.image_io.described_files import exif
from tests.image_io.photo_files import LOSSLESS, chunk, image, jpeg_segment, png, saved

RNG = np.random.default_rng(0)
VALUES = RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8)
WHOLE = {"PNG": png(VALUES, "RGB", 8), "PNG 16": LOSSLESS["PNG RGB 16"](RNG, (40, 40)),
         "TIFF 16": LOSSLESS["TIFF RGB 16"](RNG, (40, 40)),
         **{format: saved(image(VALUES, "RGB").convert("P") if format == "GIF" else image(VALUES, "RGB"), format)
            for format in ("TIFF", "JPEG", "BMP", "GIF", "WEBP", "AVIF")}}  # fmt: skip


def header_only(width, height):
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(
        b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")  # fmt: skip


def bmp_header(width, height):
    return b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def frames(format, **options):
    others = [image(255 - VALUES, "RGB")]
    return saved(image(VALUES, "RGB"), format, save_all=True, append_images=others, **options)


def premultiplied():
    straight = saved(Image.new("RGBA", (9, 9)), "TIFF")
    return straight.replace(struct.pack("<HHIH", 338, 3, 1, 2), struct.pack("<HHIH", 338, 3, 1, 1))


def tiff(values, photometric, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, values, photometric=photometric, **options)
    return file.getvalue()


DEEP = VALUES.astype(np.uint16)
BOMB = zlib.compress(bytes(64 << 20), 9)
HOSTILE = {
    "empty": (b"", "is empty"),
    "text": (b"this is not a picture, whatever its name is\n" * 9, "known format"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "known format"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3", "known format"),
    "ppm": (saved(image(VALUES, "RGB"), "PPM"), "is a PPM file, which is not written"),
    "only a signature": (b"\x89PNG\r\n\x1a\n", "cannot be read"),
    "large png": (header_only(20_000, 20_000), "limit is 200000000"),
    "huge png": (header_only(2**31 - 1, 2**31 - 1), "limit is"),
    "large bmp": (bmp_header(30_000, 30_000), "limit is"),
    "short pixels": (header_only(5000, 5000), "cannot be read"),
    "bomb in text": (png(VALUES, "RGB", 8, chunk(b"zTXt", b"a\0\0" + BOMB)), "cannot be read"),
    "bomb in ICC": (png(VALUES, "RGB", 8, chunk(b"iCCP", b"a\0\0" + BOMB)), "cannot be read"),
    "bad checksum": (png(VALUES, "RGB", 8).replace(b"IEND", b"IDAT"), "cannot be read"),
    "animated gif": (frames("GIF"), "several frames"),
    "animated webp": (frames("WEBP"), "several frames"),
    "animated png": (frames("PNG"), "several frames"),
    "animated avif": (frames("AVIF"), "several frames"),
    "pages": (frames("TIFF"), "several frames or pages"),
    "float": (saved(Image.new("F", (4, 4)), "TIFF"), "kind F"),
    "32 bits": (saved(Image.new("I", (4, 4)), "TIFF"), "kind I"),
    "lab": (saved(Image.new("LAB", (4, 4)), "TIFF"), "kind LAB"),
    "planes": (tiff(np.moveaxis(DEEP, -1, 0).copy(), "rgb", planarconfig="separate"), "separate planes"),
    "deep CMYK": (tiff(DEEP[..., [0, 1, 2, 0]], "separated"), "CMYK with 16 bits"),
    "extra channel": (tiff(VALUES[..., [0, 1, 2, 0]], "rgb", extrasamples=["unspecified"]), "has 4 channels"),
    "premultiplied": (premultiplied(), "premultiplied"),
    **{f"half a {format}": (whole[: len(whole) // 2], "cannot be read") for format, whole in WHOLE.items()},
    **{f"head of a {format}": (whole[:30], "cannot be read") for format, whole in WHOLE.items()},
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_unusable_file_is_one_line_that_names_it(kind):
    encoded, why = HOSTILE[kind]
    start = time.monotonic()
    with pytest.raises(InputError) as error:
        image_io.decode(encoded, "holiday/tree.png")
    message = str(error.value)
    assert message.startswith("holiday/tree.png: ") and why in message and ";" in message and "\n" not in message
    assert time.monotonic() - start < 5


def test_damaged_bytes_raise_input_error_or_are_read():
    """A file with any byte changed is either read or rejected, and a file that is read can be written."""
    rng = np.random.default_rng(1)
    for whole in WHOLE.values():
        for _ in range(40):
            damaged = bytearray(whole)
            for place in rng.integers(0, min(len(whole), 400), 3):
                damaged[place] = rng.integers(256)
            try:
                photo = image_io.decode(bytes(damaged), "a")
            except InputError as error:
                assert "\n" not in str(error)
                continue
            image_io.encode(photo, photo.rgb, np.zeros(photo.rgb.shape[:2], bool))


def test_irregular_files_do_not_warn():
    one, two = (struct.pack(">HHI", 0x0112, 3, count) for count in (1, 2))  # orientations
    irregular = WHOLE["JPEG"][:2] + jpeg_segment(0xE1, exif().replace(one, two)) + WHOLE["JPEG"][2:]
    with pytest.warns(UserWarning, match="too many entries"), Image.open(io.BytesIO(irregular)) as opened:
        dict(opened.getexif().items())
    photo = image_io.decode(irregular, "a")
    image_io.encode(photo, photo.rgb, np.zeros(photo.rgb.shape[:2], bool), format="PNG")


def test_avif_with_10_bits_is_rejected():
    deep = cv2.imencode(".avif", VALUES.astype(np.uint16) * 4, [cv2.IMWRITE_AVIF_DEPTH, 10])[1].tobytes()
    with pytest.raises(InputError, match="10 bits"):
        image_io.decode(deep, "a")


def test_the_pixel_limit_replaces_the_limit_of_pillow():
    assert image_io.MAX_PIXELS > 10_000 * 20_000 - 1 > Image.MAX_IMAGE_PIXELS
    with pytest.raises(InputError, match="truncated"):
        image_io.decode(header_only(10_000, 20_000), "a")


@pytest.mark.parametrize(("format", "name"), [("PPM", "PPM"), ("JPEG2000", "JPEG 2000")])
def test_formats_that_are_read_for_training_only_are_named(format, name):
    with pytest.raises(InputError, match=f"^a: is a {name} file, which is not written; convert it to PNG$"):
        image_io.decode(saved(Image.new("RGB", (20, 20)), format), "a")
