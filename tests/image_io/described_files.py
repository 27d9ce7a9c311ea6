"""Image files with rich metadata, and a reader of the metadata of a file."""

import io
import struct

import numpy as np
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from tests.image_io.photo_files import image, saved

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6" dc:title="Tree"/></x:xmpmeta>'
VALUES = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
THUMBNAIL = b"thumbnail of the original"


def tags(orientation):
    block = Image.Exif()
    block[ExifTags.Base.Make], block[ExifTags.Base.Orientation] = "Maker", orientation
    block.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] = 400
    block.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    return block


def exif(orientation=6, *, thumbnail=False):
    block = tags(orientation).tobytes()[6:]
    if thumbnail:  # a second directory with the offset and the length of a thumbnail
        order = "<" if block[:2] == b"II" else ">"
        first = struct.unpack_from(order + "I", block, 4)[0]
        link = first + 2 + 12 * struct.unpack_from(order + "H", block, first)[0]
        second, place = len(block), len(block) + 2 + 2 * 12 + 4
        block = block[:link] + struct.pack(order + "I", second) + block[link + 4 :] + struct.pack(
            order + "HHHIIHHIII", 2, 0x201, 4, 1, place, 0x202, 4, 1, len(THUMBNAIL), 0) + THUMBNAIL  # fmt: skip
    return b"Exif\0\0" + block


def file_with_all_metadata(format, orientation=6):
    options = {"icc_profile": ICC, "exif": exif(orientation), "dpi": (300, 300)}
    if format == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Author", "Ann", zip=True)
        text.add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=True)
        return saved(image(VALUES, "RGB"), "PNG", pnginfo=text, **options)
    if format == "TIFF":
        block = Image.Exif()
        block.load(exif(orientation))
        block[700] = XMP
        return saved(image(VALUES, "RGB"), "TIFF", **{**options, "exif": block})
    more = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100}, "JPEG": {"quality": 98, "comment": "hello"}}[format]
    return saved(image(VALUES, "RGB"), format, xmp=XMP, **options, **more)


def read_metadata(encoded):
    """Return (ICC, EXIF tags, XMP, resolution, text) of a file."""
    with Image.open(io.BytesIO(encoded)) as opened:
        xmp = opened.info.get("xmp")
        block = opened.getexif()
        found = {"make": block.get(ExifTags.Base.Make), "orientation": block.get(ExifTags.Base.Orientation, 1),
                 "iso": block.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ISOSpeedRatings),
                 "gps": block.get_ifd(ExifTags.IFD.GPSInfo).get(ExifTags.GPS.GPSLatitudeRef)}  # fmt: skip
        text = opened.info.get("Author"), opened.info.get("comment")
        dpi = opened.info.get("dpi")
        return opened.info.get("icc_profile"), found, xmp, dpi and [round(float(side)) for side in dpi], text
