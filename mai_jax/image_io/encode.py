"""Encoding of a filled photograph in its own format or another one."""

import io
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8, UInt16
from PIL import BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from mai_jax.errors import InputError
from mai_jax.image_io import colours, jpeg, metadata, png, tiff
from mai_jax.image_io.header import (
    FORMATS,
    avif_subsampling,
    ignore_pillow_warnings,
    open_header,
    register_heif,
    webp_is_lossless,
)  # fmt: skip
from mai_jax.image_io.photo import Photo, Samples, pillow_image

LOSSY_QUALITY = 90  # of WebP, AVIF and HEIC
NEW_JPEG_QUALITY = 95  # of a JPEG converted from another format
ALPHA_FORMATS = ("PNG", "TIFF", "WEBP", "AVIF", "GIF", "HEIF")
SIXTEEN_BIT_FORMATS = ("PNG", "TIFF")
QUALITY_FORMATS = ("JPEG", "WEBP", "AVIF", "HEIF")
LOSSY_FORMATS = ("JPEG", "AVIF")  # without a lossless form that keeps RGB exactly
GREY_FORMATS = ("PNG", "TIFF", "JPEG", "BMP")


def encode(
    photo: Photo, rgb: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"], hole: Bool[np.ndarray, "h w"], *,
    opaque_hole: bool = False, format: str | None = None, quality: int | None = None, lossless: bool = False,
) -> bytes:  # fmt: skip
    """Return the file of `photo` with the pixels of `hole` replaced by those of `rgb`.

    The hole keeps its alpha, or becomes opaque if `opaque_hole`. `format` is one of Pillow's names; None selects the
    format of `photo`. `quality`, 1 to 100, is for JPEG, lossy WebP, AVIF and HEIC; without it a JPEG keeps its coding
    tables. `lossless` is for WebP and HEIC. Raises InputError if the format cannot store what the photo contains, or
    the photo's metadata are damaged; ValueError if the arrays differ from `photo.rgb` in size or type.
    """
    if rgb.shape != photo.rgb.shape or rgb.dtype != photo.rgb.dtype or hole.shape != rgb.shape[:2]:
        raise ValueError(f"{photo.name}: rgb and hole are not of the photograph's size and type")
    target = format or photo.format
    if target not in FORMATS:
        raise InputError(f"{photo.name}: cannot be written as {target}; choose one of {', '.join(FORMATS)}")
    filled = colours.replace_hole(photo.samples, rgb, hole, opaque=opaque_hole)
    _check_format(photo, filled, target)
    if lossless and target in LOSSY_FORMATS:
        raise InputError(f"{photo.name}: {target} always loses; without loss write a PNG, WebP or HEIC")
    if target == "HEIF" and not register_heif():
        raise InputError(f"{photo.name}: HEIC needs pillow-heif; pip install 'mai_jax[heif]', or write a JPEG")
    try:
        with ignore_pillow_warnings():
            if target == photo.format:
                return _rewrite(photo, filled, quality, lossless=lossless)
            return _convert(photo, filled, target, quality, lossless=lossless)
    except InputError:
        raise
    except Exception as reason:  # the pixels were readable, so Pillow or struct failed on damaged metadata
        why = " ".join(str(reason).split()) or type(reason).__name__
        raise InputError(f"{photo.name}: its metadata are damaged ({why}); remove them, or save it again") from reason


def _check_format(photo, samples, target):
    """Raise InputError if the target format cannot store the samples."""
    alpha = colours.to_alpha(samples)
    if target not in ALPHA_FORMATS and alpha is not None and alpha.min() < np.iinfo(alpha.dtype).max:
        raise InputError(f"{photo.name}: has transparent pixels, which {target} cannot store; write a PNG")
    if target not in SIXTEEN_BIT_FORMATS and samples.depth == 16:
        raise InputError(f"{photo.name}: has 16 bits per channel, which {target} cannot store; write a PNG or TIFF")
    if target == "GIF" != photo.format:
        raise InputError(f"{photo.name}: has more colours than GIF can store; write a PNG")


def _rewrite(photo, samples, quality, *, lossless):
    """Return the file of `photo` with other samples, in the same format."""
    header = open_header(photo.source)
    assert header is not None  # `decode` opened it
    match header:
        case PngImagePlugin.PngImageFile():
            return png.rewrite(photo.source, header, samples)
        case TiffImagePlugin.TiffImageFile():
            return tiff.rewrite(header, samples)
        case JpegImagePlugin.JpegImageFile():
            return jpeg.rewrite(photo.source, header, samples, transposed=photo.orientation >= 5, quality=quality)
        case GifImagePlugin.GifImageFile():
            kept = ("transparency", "comment", "background", "interlace", "loop", "duration")
            options = {key: header.info[key] for key in kept if key in header.info}
            return save(samples, "GIF", optimize=False, **options)
        case BmpImagePlugin.BmpImageFile():
            return save(samples, "BMP", **metadata.read(header).save_options(samples.mode))
    if photo.format == "WEBP":
        lossless = lossless or webp_is_lossless(photo.source)
    subsampling = header.info.get("chroma", 420) if photo.format == "HEIF" else avif_subsampling(photo.source)
    options = _quality_options(photo.format, quality, subsampling, lossless=lossless)
    return save(samples, photo.format, **options, **metadata.read(header).save_options(samples.mode))


def _quality_options(format, quality, subsampling, *, lossless) -> dict[str, Any]:
    """Return Pillow's options for a WebP, AVIF or HEIC; WebP has one subsampling."""
    quality = quality or LOSSY_QUALITY
    if format == "WEBP":
        return {"lossless": lossless, "exact": True, "quality": quality}
    if format == "AVIF":
        return {"quality": quality, "subsampling": subsampling}
    if lossless:
        return {"quality": -1, "chroma": 444, "matrix_coefficients": 0}  # RGB is not converted to YCbCr
    return {"quality": quality, "chroma": subsampling}


def _convert(photo, filled, target, quality, *, lossless):
    """Return a file of another format: RGB or grey, with alpha if the photo has transparency."""
    header = open_header(photo.source)
    assert header is not None  # `decode` opened it
    found = metadata.read(header)
    samples = _plain(filled, grey=filled.mode in ("L", "LA") and target in GREY_FORMATS, alpha=target in ALPHA_FORMATS)
    save_options = found.save_options(samples.mode)
    if target in ("PNG", "TIFF"):
        icc = save_options.get("icc_profile", b"")
        write = png.write if target == "PNG" else tiff.write
        return write(samples, icc=icc, exif=found.exif, xmp=found.xmp, dpi=found.dpi)
    if target == "JPEG":
        options = {"quality": quality or NEW_JPEG_QUALITY, "subsampling": "4:4:4"}
    elif target == "BMP":
        options = {}
    else:
        options = _quality_options(target, quality, 444 if target == "HEIF" else "4:4:4", lossless=lossless)
    if target == "JPEG" and found.exif:
        save_options["exif"] = b"Exif\0\0" + found.exif
    try:
        return save(samples, target, **options, **save_options)
    except (OSError, ValueError) as reason:  # a side or metadata too long for the format
        raise InputError(f"{photo.name}: cannot be written as {target} ({reason}); write a PNG") from reason


def _plain(filled, *, grey, alpha):
    """Return the samples in mode L or RGB, with "A" if `alpha` and they have transparency, of 8 or 16 bits."""
    rgb, opacity = colours.to_rgb(filled), colours.to_alpha(filled)
    values, mode = (rgb[..., :1], "L") if grey else (rgb, "RGB")
    if alpha and opacity is not None:
        values, mode = np.concatenate([values, opacity[..., None]], -1), mode + "A"
    return Samples(np.ascontiguousarray(values), mode, 8 * rgb.itemsize)


def save(samples: Samples, format: str, **options: Any) -> bytes:
    """Return the file that Pillow writes for samples of up to 8 bits."""
    file = io.BytesIO()
    pillow_image(samples).save(file, format, **options)
    return file.getvalue()
