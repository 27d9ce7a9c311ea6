"""Metadata is preserved, with orientation 1 and without thumbnails."""

import io
import re
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from mai_jax import image_io
from tests.image_io.described_files import ICC, THUMBNAIL, VALUES, XMP, exif, file_with_all_metadata, read_metadata
from tests.image_io.photo_files import chunk, image, jpeg_segment, png, saved


@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG", "WEBP", "AVIF"])
def test_all_metadata_is_kept(format):
    encoded = file_with_all_metadata(format)
    icc, found, xmp, dpi, text = read_metadata(encoded)
    assert icc == ICC and found == {"make": "Maker", "orientation": 6, "iso": 400, "gps": "N"} and xmp == XMP
    photo = image_io.decode(encoded, "a")
    again = read_metadata(image_io.encode(photo, photo.rgb, np.zeros(photo.rgb.shape[:2], bool)))
    upright_xmp = xmp.replace(b'Orientation="6"', b'Orientation="1"')
    assert again == (icc, {**found, "orientation": 1}, upright_xmp, dpi, text)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG", "WEBP", "AVIF"])
def test_the_orientation_is_applied_once(format, orientation):
    encoded = file_with_all_metadata(format, orientation)
    with Image.open(io.BytesIO(encoded)) as opened:
        truth = np.asarray(ImageOps.exif_transpose(opened))
    photo = image_io.decode(encoded, "a")
    np.testing.assert_array_equal(photo.rgb, truth)
    filled = image_io.encode(photo, photo.rgb, np.zeros(truth.shape[:2], bool))
    with Image.open(io.BytesIO(filled)) as opened:
        assert opened.size == truth.shape[1::-1] and opened.getexif().get(ExifTags.Base.Orientation, 1) == 1
    if format in ("PNG", "TIFF", "WEBP"):
        np.testing.assert_array_equal(image_io.decode(filled, "b").rgb, truth)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_png_keeps_its_chunks(depth):
    values = VALUES.astype(np.uint16 if depth == 16 else np.uint8)
    chunks = [(b"gAMA", struct.pack(">I", 45455)), (b"tEXt", b"Title\0Tree"), (b"tIME", bytes(7)), (b"prVt", b"own")]
    encoded = png(values, "RGB", depth, b"".join(chunk(*pair) for pair in chunks))
    photo = image_io.decode(encoded, "a")
    filled = image_io.encode(photo, photo.rgb, np.zeros(VALUES.shape[:2], bool))
    for pair in chunks:
        assert chunk(*pair) in filled


def test_the_orientation_of_exif_in_png_text_is_applied():
    block = exif(8)
    old = b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n%8d\n%s\n" % (len(block), block.hex().encode()))
    photo = image_io.decode(png(VALUES, "RGB", 8, chunk(b"zTXt", old)), "a")
    assert photo.rgb.shape == (12, 8, 3)
    again = image_io.decode(image_io.encode(photo, photo.rgb, np.zeros((12, 8), bool)), "b")
    np.testing.assert_array_equal(again.rgb, photo.rgb)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_no_thumbnail_is_left(format):
    encoded = saved(image(VALUES, "RGB"), format, exif=exif(thumbnail=True))
    assert THUMBNAIL in encoded
    photo = image_io.decode(encoded, "a")
    filled = image_io.encode(photo, photo.rgb, np.ones(photo.rgb.shape[:2], bool))
    assert THUMBNAIL not in filled and read_metadata(filled)[1]["iso"] == 400


def test_a_jpeg_keeps_captions_but_not_previews():
    def resource(kind, data):
        return b"8BIM" + struct.pack(">HHI", kind, 0, len(data)) + data + bytes(len(data) % 2)

    caption, preview = resource(1028, b"caption"), resource(1036, THUMBNAIL)
    plain = saved(image(VALUES, "RGB"), "JPEG")
    more = [(0xED, b"Photoshop 3.0\0" + preview + caption), (0xE0, b"JFXX\0" + THUMBNAIL), (0xE2, b"MPF\0" + bytes(8)),
            (0xE5, b"maker note")]  # fmt: skip
    photo = image_io.decode(plain[:2] + b"".join(jpeg_segment(*one) for one in more) + plain[2:], "a")
    filled = image_io.encode(photo, photo.rgb, np.zeros(VALUES.shape[:2], bool))
    assert caption in filled and b"maker note" in filled
    assert not re.search(rb"JFXX|MPF|" + THUMBNAIL, filled)


@pytest.mark.parametrize("format, options", [("BMP", {"dpi": (300, 300)}), ("GIF", {"comment": b"hello"})])
def test_bmp_keeps_its_resolution_and_gif_its_comment(format, options):
    encoded = saved(image(VALUES[..., :1], "L"), format, **options)
    photo = image_io.decode(encoded, "a")
    filled = image_io.encode(photo, photo.rgb, np.zeros(VALUES.shape[:2], bool))
    assert read_metadata(filled) == read_metadata(encoded) and any(read_metadata(encoded)[3:])


def test_tiff_16_bits_keep_their_tags():
    resolution = [cv2.IMWRITE_TIFF_XDPI, 300, cv2.IMWRITE_TIFF_YDPI, 150]
    encoded = cv2.imencode(".tiff", VALUES.astype(np.uint16) * 257, resolution)[1].tobytes()
    photo = image_io.decode(encoded, "a")
    filled = image_io.encode(photo, photo.rgb, np.zeros(VALUES.shape[:2], bool))
    assert read_metadata(filled)[3] == read_metadata(encoded)[3] == [300, 150]
