"""Writing of TIFF files (TIFF 6.0 and its technical notes) of one page, with the tags of another file."""

import io
import zlib

import numpy as np
from PIL import Image, TiffImagePlugin
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from mai_jax.image_io.embedded_metadata import ORIENTATION, upright_xmp, without_thumbnails
from mai_jax.image_io.photo import Samples

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
STRIPS, CHANNELS, ROWS, SIZES = 273, 277, 278, 279
PREDICTOR, PALETTE, EXTRA_SAMPLES = 317, 320, 338
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, INCH = 282, 283, 296, 2
XMP, PHOTOSHOP, EXIF, ICC, GPS, PHOTOSHOP_LAYERS = 700, 34377, 34665, 34675, 34853, 37724
PHOTOMETRIC_OF_MODE = {"L": 1, "LA": 1, "RGB": 2, "RGBA": 2, "P": 3, "CMYK": 5}
UNCOMPRESSED, DEFLATE, DIFFERENCES, UNASSOCIATED = 1, 8, 2, 2
SHORT, LONG, BYTE, UNDEFINED = 3, 4, 1, 7
STRIP_BYTES = 1 << 20

# Tags of the pixel layout, which the writer sets, and of additional pictures. 330: directories; 512 to 521: old JPEG;
# 529 to 532: YCbCr.
PIXEL_TAGS = {254, 255, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, 266, STRIPS, CHANNELS, ROWS, SIZES, 280, 281,
              284, 288, 289, 292, 293, PREDICTOR, PALETTE, 322, 323, 324, 325, 330, EXTRA_SAMPLES, 339, 340, 341, 342,
              347, *range(512, 522), *range(529, 533), PHOTOSHOP_LAYERS}  # fmt: skip


def rewrite(header: TiffImagePlugin.TiffImageFile, samples: Samples) -> bytes:
    """Return a TIFF of the samples with the tags of an opened file, with orientation 1."""
    old, tags = header.tag_v2, ImageFileDirectory_v2()
    for tag in set(old) - PIXEL_TAGS - {EXIF, GPS}:
        tags.tagtype[tag] = old.tagtype[tag]
        tags[tag] = old[tag]
    for tag in {EXIF, GPS} & set(old):
        tags[tag] = header.getexif().get_ifd(tag)
    if ORIENTATION in tags:
        tags[ORIENTATION] = 1
    if XMP in tags:
        tags[XMP] = upright_xmp(old[XMP])
    if PHOTOSHOP in tags:
        tags[PHOTOSHOP] = without_thumbnails(old[PHOTOSHOP])
    if samples.mode == "P":
        colours = np.reshape(old[PALETTE], (3, -1))
        tags[PALETTE] = tuple(np.pad(colours, ((0, 0), (0, 256 - colours.shape[1]))).ravel().tolist())
    return _file(samples, tags, compressed=old.get(COMPRESSION, UNCOMPRESSED) != UNCOMPRESSED)


def write(samples: Samples, icc: bytes, exif: bytes, xmp: bytes, dpi: tuple[float, float] | None) -> bytes:
    """Return a new compressed TIFF of samples without palette; empty metadata are not written."""
    tags, block = ImageFileDirectory_v2(), Image.Exif()
    block.load(exif)
    for tag in set(block) - PIXEL_TAGS:
        tags[tag] = block.get_ifd(tag) if tag in (EXIF, GPS) else block[tag]
    for tag, kind, value in ((ICC, UNDEFINED, icc), (XMP, BYTE, xmp)):
        if value:
            tags.tagtype[tag] = kind
            tags[tag] = value
    if dpi:
        tags[X_RESOLUTION], tags[Y_RESOLUTION], tags[RESOLUTION_UNIT] = *dpi, INCH
    return _file(samples, tags, compressed=True)


def exif_of(header: Image.Image) -> bytes:
    """Return the tags of an opened file that other formats store as EXIF."""
    exif = header.getexif()
    for tag in (PIXEL_TAGS | {XMP, PHOTOSHOP, ICC}) & set(exif):
        del exif[tag]
    return exif.tobytes()


def _file(samples, tags, *, compressed):
    height, width, channels = samples.values.shape
    per_strip = max(1, STRIP_BYTES // (width * channels * samples.values.itemsize))
    encode = _deflate if compressed else _bytes
    strips = [encode(samples, slice(row, row + per_strip)) for row in range(0, height, per_strip)]
    sizes = [len(strip) for strip in strips]
    tags[WIDTH], tags[HEIGHT], tags[CHANNELS], tags[ROWS] = width, height, channels, per_strip
    tags[BITS], tags[PHOTOMETRIC] = (samples.depth,) * channels, PHOTOMETRIC_OF_MODE[samples.mode]
    tags[COMPRESSION] = DEFLATE if compressed else UNCOMPRESSED
    if compressed and _uses_differences(samples):
        tags[PREDICTOR] = DIFFERENCES
    if samples.mode.endswith("A"):
        tags[EXTRA_SAMPLES] = UNASSOCIATED
    tags.tagtype[STRIPS] = tags.tagtype[SIZES] = LONG
    tags[SIZES] = tuple(sizes)
    tags[STRIPS] = tuple(np.cumsum([0, *sizes[:-1]]).tolist())  # Pillow adds the end of the directory
    file = io.BytesIO()
    tags.save(file)
    return file.getvalue() + b"".join(strips)


def _uses_differences(samples):
    """Return whether differences of neighbours are compressed instead of the samples."""
    return samples.mode != "P" and samples.depth >= 8


def _deflate(samples, part):
    if not _uses_differences(samples):
        return zlib.compress(_bytes(samples, part))
    values = samples.values[part]
    differences = np.diff(values, axis=1, prepend=values.dtype.type(0))
    return zlib.compress(differences.astype(differences.dtype.newbyteorder("<")).tobytes())


def _bytes(samples, part):
    values = samples.values[part]
    if samples.depth < 8:
        return np.packbits(values[..., 0], axis=1).tobytes()
    return values.astype(values.dtype.newbyteorder("<")).tobytes()
