"""A photograph as a file: from its bytes to pixels for a network and back, losing nothing.

`decode` gives RGB and alpha, `encode` writes the same file with a hole painted. What is kept:

    format  pixels outside the hole          alpha                  metadata
    PNG     bit for bit, 1 to 16 bits        channel, tRNS          every chunk as it was, but no animation
    TIFF    bit for bit, 1, 8, 16 bits       unassociated channel   every tag but thumbnails, layers, private offsets
    BMP     bit for bit, 1 and 8 bits        -                      resolution
    GIF     bit for bit, palette             transparent index      comment, background
    WEBP    lossless: bit for bit; lossy: *  channel                ICC, EXIF, XMP
    AVIF    *                                channel                ICC, EXIF, XMP
    JPEG    close: the file's own tables     -                      every segment as it was: ICC, EXIF, XMP, IPTC, JFIF

    *  encoded anew with `LOSSY_QUALITY`, because these files do not tell with which quality they were made.

Modes (1-bit, grey, palette, CMYK, with or without alpha), size and bit depth stay. A JPEG keeps its quantisation
tables, chroma subsampling, kind of Huffman tables and whether it is progressive. The EXIF orientation is applied to
the pixels and its tag becomes 1. Thumbnails, and the second picture of a JPEG (preview, gain map), are left out: they
would still show what has been painted over.

Written differently, with the same pixels: an interlaced PNG comes out plain, a compressed TIFF comes out with Deflate
(one of JPEG grows by that), 2 and 4 bits of TIFF and BMP become 8, run-length BMP becomes plain.

CMYK is converted without colour management. Refused: animations and pages, 32 bits and floats, CMYK with 16 bits, AVIF
with more than 8 bits, premultiplied alpha, separate 16-bit planes, more than `MAX_PIXELS` pixels.
"""

from mai_jax.photos.decode import decode
from mai_jax.photos.encode import encode
from mai_jax.photos.photo import FORMAT_OF_SUFFIX, MAX_PIXELS, Photo

__all__ = ["FORMAT_OF_SUFFIX", "MAX_PIXELS", "Photo", "decode", "encode"]
