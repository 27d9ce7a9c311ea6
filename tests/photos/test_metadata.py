"""What a file says about its picture stays, and is true of the picture that is written."""

import io
import re
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from mai_jax import photos
from tests.photos.described_files import ICC, THUMBNAIL, VALUES, XMP, described, exif, file_with_everything
from tests.photos.photo_files import chunk, image, jpeg_segment, png, saved


@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG", "WEBP", "AVIF"])
def test_everything_is_kept(format):
    encoded = file_with_everything(format)
    icc, found, xmp, dpi, text = described(encoded)
    assert icc == ICC and found == {"make": "Maker", "orientation": 6, "iso": 400, "gps": "N"} and xmp == XMP
    photo = photos.decode(encoded, "a")
    again = described(photos.encode(photo, photo.rgb, np.zeros(photo.rgb.shape[:2], bool)))
    upright_xmp = xmp.replace(b'Orientation="6"', b'Orientation="1"')
    assert again == (icc, {**found, "orientation": 1}, upright_xmp, dpi, text)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG", "WEBP", "AVIF"])
def test_a_photo_is_upright_once_and_for_all(format, orientation):
    encoded = file_with_everything(format, orientation)
    with Image.open(io.BytesIO(encoded)) as opened:
        truth = np.asarray(ImageOps.exif_transpose(opened))
    photo = photos.decode(encoded, "a")
    np.testing.assert_array_equal(photo.rgb, truth)
    painted = photos.encode(photo, photo.rgb, np.zeros(truth.shape[:2], bool))
    with Image.open(io.BytesIO(painted)) as opened:
        assert opened.size == truth.shape[1::-1] and opened.getexif().get(ExifTags.Base.Orientation, 1) == 1
    if format in ("PNG", "TIFF", "WEBP"):
        np.testing.assert_array_equal(photos.decode(painted, "b").rgb, truth)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_png_keeps_its_chunks_as_they_are(depth):
    values = VALUES.astype(np.uint16 if depth == 16 else np.uint8)
    chunks = [(b"gAMA", struct.pack(">I", 45455)), (b"tEXt", b"Title\0Tree"), (b"tIME", bytes(7)), (b"prVt", b"own")]
    encoded = png(values, "RGB", depth, b"".join(chunk(*pair) for pair in chunks))
    photo = photos.decode(encoded, "a")
    painted = photos.encode(photo, photo.rgb, np.zeros(VALUES.shape[:2], bool))
    for pair in chunks:
        assert chunk(*pair) in painted


def test_exif_that_older_tools_put_into_text_of_a_png_is_upright_too():
    block = exif(8)
    old = b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n%8d\n%s\n" % (len(block), block.hex().encode()))
    photo = photos.decode(png(VALUES, "RGB", 8, chunk(b"zTXt", old)), "a")
    assert photo.rgb.shape == (12, 8, 3)
    again = photos.decode(photos.encode(photo, photo.rgb, np.zeros((12, 8), bool)), "b")
    np.testing.assert_array_equal(again.rgb, photo.rgb)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_no_thumbnail_shows_what_has_been_painted_over(format):
    encoded = saved(image(VALUES, "RGB"), format, exif=exif(thumbnail=True))
    assert THUMBNAIL in encoded
    photo = photos.decode(encoded, "a")
    painted = photos.encode(photo, photo.rgb, np.ones(photo.rgb.shape[:2], bool))
    assert THUMBNAIL not in painted and described(painted)[1]["iso"] == 400


def test_a_jpeg_keeps_captions_and_loses_previews():
    def resource(kind, data):
        return b"8BIM" + struct.pack(">HHI", kind, 0, len(data)) + data + bytes(len(data) % 2)

    caption, preview = resource(1028, b"caption"), resource(1036, THUMBNAIL)
    plain = saved(image(VALUES, "RGB"), "JPEG")
    more = [(0xED, b"Photoshop 3.0\0" + preview + caption), (0xE0, b"JFXX\0" + THUMBNAIL), (0xE2, b"MPF\0" + bytes(8)),
            (0xE5, b"of a maker")]  # fmt: skip
    photo = photos.decode(plain[:2] + b"".join(jpeg_segment(*one) for one in more) + plain[2:], "a")
    painted = photos.encode(photo, photo.rgb, np.zeros(VALUES.shape[:2], bool))
    assert caption in painted and b"of a maker" in painted
    assert not re.search(rb"JFXX|MPF|" + THUMBNAIL, painted)


@pytest.mark.parametrize("format, options", [("BMP", {"dpi": (300, 300)}), ("GIF", {"comment": b"hello"})])
def test_what_bmp_and_gif_can_say(format, options):
    encoded = saved(image(VALUES[..., :1], "L"), format, **options)
    photo = photos.decode(encoded, "a")
    painted = photos.encode(photo, photo.rgb, np.zeros(VALUES.shape[:2], bool))
    assert described(painted) == described(encoded) and any(described(encoded)[3:])


def test_tiff_16_bits_keep_their_tags():
    resolution = [cv2.IMWRITE_TIFF_XDPI, 300, cv2.IMWRITE_TIFF_YDPI, 150]
    encoded = cv2.imencode(".tiff", VALUES.astype(np.uint16) * 257, resolution)[1].tobytes()
    photo = photos.decode(encoded, "a")
    painted = photos.encode(photo, photo.rgb, np.zeros(VALUES.shape[:2], bool))
    assert described(painted)[3] == described(encoded)[3] == [300, 150]
