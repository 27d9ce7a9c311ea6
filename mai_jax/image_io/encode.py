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

LOSSY_QUALITY = 90  # of WebP and AVIF
NEW_JPEG_QUALITY = 95  # of a JPEG converted from another format
ALPHA_FORMATS = ("PNG", "TIFF", "WEBP", "AVIF", "GIF", "HEIF")
SIXTEEN_BIT_FORMATS = ("PNG", "TIFF")
GREY_FORMATS = ("PNG", "TIFF", "JPEG", "BMP")


def encode(
    photo: Photo, rgb: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"], hole: Bool[np.ndarray, "h w"], *,
    opaque_hole: bool = False, format: str | None = None,
) -> bytes:  # fmt: skip
    """Return the file of `photo` with the pixels of `hole` replaced by those of `rgb`.

    The hole keeps its alpha, or becomes opaque if `opaque_hole`. `format` is one of Pillow's names; None selects the
    format of `photo`. Raises InputError if the format cannot store what the photo contains, or the photo's metadata are
    damaged; ValueError if the arrays differ from `photo.rgb` in size or type.
    """
    if rgb.shape != photo.rgb.shape or rgb.dtype != photo.rgb.dtype or hole.shape != rgb.shape[:2]:
        raise ValueError(f"{photo.name}: rgb and hole are not of the photograph's size and type")
    target = format or photo.format
    if target not in FORMATS:
        raise InputError(f"{photo.name}: cannot be written as {target}; choose one of {', '.join(FORMATS)}")
    filled = colours.replace_hole(photo.samples, rgb, hole, opaque=opaque_hole)
    _check_format(photo, filled, target)
    if target == "HEIF" and not register_heif():
        raise InputError(f"{photo.name}: HEIC needs pillow-heif; pip install 'mai_jax[heif]', or write a JPEG")
    try:
        with ignore_pillow_warnings():
            return _rewrite(photo, filled) if target == photo.format else _convert(photo, filled, target)
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


def _rewrite(photo, samples):
    """Return the file of `photo` with other samples, in the same format."""
    header = open_header(photo.source)
    assert header is not None  # `decode` opened it
    match header:
        case PngImagePlugin.PngImageFile():
            return png.rewrite(photo.source, header, samples)
        case TiffImagePlugin.TiffImageFile():
            return tiff.rewrite(header, samples)
        case JpegImagePlugin.JpegImageFile():
            return jpeg.rewrite(photo.source, header, samples, transposed=photo.orientation >= 5)
        case GifImagePlugin.GifImageFile():
            kept = ("transparency", "comment", "background", "interlace", "loop", "duration")
            options = {key: header.info[key] for key in kept if key in header.info}
            return _save(samples, "GIF", optimize=False, **options)
        case BmpImagePlugin.BmpImageFile():
            return _save(samples, "BMP", **metadata.read(header).save_options(samples.mode))
    options = _lossy_options(photo, header)
    return _save(samples, photo.format, **options, **metadata.read(header).save_options(samples.mode))


def _lossy_options(photo, header):
    """Return Pillow's options to encode a WebP, AVIF or HEIC as its source, as far as the file records them."""
    if photo.format == "WEBP":
        return {"lossless": webp_is_lossless(photo.source), "exact": True, "quality": LOSSY_QUALITY}
    if photo.format == "HEIF":
        return {"quality": LOSSY_QUALITY, "chroma": header.info.get("chroma", 420)}  # grey has none
    return {"quality": LOSSY_QUALITY, "subsampling": avif_subsampling(photo.source)}


def _convert(photo, filled, target):
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
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": NEW_JPEG_QUALITY, "subsampling": "4:4:4"}, "WEBP": {"quality": LOSSY_QUALITY},
        "AVIF": {"quality": LOSSY_QUALITY, "subsampling": "4:4:4"}, "BMP": {},
        "HEIF": {"quality": LOSSY_QUALITY, "chroma": 444},
    }  # fmt: skip
    if target == "JPEG" and found.exif:
        save_options["exif"] = b"Exif\0\0" + found.exif
    try:
        return _save(samples, target, **options[target], **save_options)
    except (OSError, ValueError) as reason:  # a side or metadata too long for the format
        raise InputError(f"{photo.name}: cannot be written as {target} ({reason}); write a PNG") from reason


def _plain(filled, *, grey, alpha):
    """Return the samples in mode L or RGB, with "A" if `alpha` and they have transparency, of 8 or 16 bits."""
    rgb, opacity = colours.to_rgb(filled), colours.to_alpha(filled)
    values, mode = (rgb[..., :1], "L") if grey else (rgb, "RGB")
    if alpha and opacity is not None:
        values, mode = np.concatenate([values, opacity[..., None]], -1), mode + "A"
    return Samples(np.ascontiguousarray(values), mode, 8 * rgb.itemsize)


def _save(samples, format, **options):
    """Return the file that Pillow writes for samples of up to 8 bits."""
    file = io.BytesIO()
    pillow_image(samples).save(file, format, **options)
    return file.getvalue()
