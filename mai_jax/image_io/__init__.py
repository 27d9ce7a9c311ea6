"""Reading and writing of photograph files without loss outside the hole.

`decode` returns RGB and alpha, `encode` writes the same file with the hole replaced. What `encode` preserves:

    format  pixels outside the hole          alpha                  metadata
    PNG     exact, 1 to 16 bits              channel, tRNS          every chunk except animation
    TIFF    exact, 1, 8, 16 bits             unassociated channel   every tag except thumbnails, layers, private offsets
    BMP     exact, 1 and 8 bits              -                      resolution
    GIF     exact, palette                   transparent index      comment, background
    WEBP    lossless: exact; lossy: *        channel                ICC, EXIF, XMP
    AVIF    *                                channel                ICC, EXIF, XMP
    HEIF    *                                channel                ICC, EXIF, XMP; needs the extra `heif`
    JPEG    close: same coding tables        -                      every segment: ICC, EXIF, XMP, IPTC, JFIF

    *  re-encoded with `LOSSY_QUALITY` or a given quality, because these files do not record theirs.

Modes (1-bit, grey, palette, CMYK, with or without alpha), size and bit depth are preserved. A JPEG keeps its
quantisation tables, chroma subsampling, kind of Huffman tables and progressive coding. The EXIF orientation is applied
to the pixels and the tag is set to 1. Thumbnails and the second picture of a JPEG (preview, gain map) are removed,
because they would still show the content of the hole.

Same pixels in another encoding: an interlaced PNG is written non-interlaced, a compressed TIFF with Deflate (which
enlarges a TIFF with JPEG compression), 2 and 4 bits of TIFF and BMP as 8, run-length BMP uncompressed.

Animated GIF, PNG and WebP and TIFF with several pages are taken apart by `split` and put together by `join`.

CMYK is converted without colour management. Rejected: other animations, 32 bits and floats, CMYK with 16
bits, AVIF and HEIC with more than 8 bits, premultiplied alpha, separate 16-bit planes, more than `MAX_PIXELS` pixels.
"""

from mai_jax.image_io.decode import decode
from mai_jax.image_io.embedded_metadata import apply_orientation
from mai_jax.image_io.encode import QUALITY_FORMATS, encode
from mai_jax.image_io.frame import Frame, Frames
from mai_jax.image_io.frames import is_several, join, split
from mai_jax.image_io.photo import FORMAT_OF_SUFFIX, MAX_PIXELS, Photo

__all__ = ["FORMAT_OF_SUFFIX", "MAX_PIXELS", "QUALITY_FORMATS", "Frame", "Frames", "Photo", "apply_orientation",
           "decode", "encode", "is_several", "join", "split"]
