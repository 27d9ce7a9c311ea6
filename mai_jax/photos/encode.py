"""From a painted photograph to the bytes of its file, or of a file of another format."""

import io

import numpy as np
from jaxtyping import Bool, UInt8, UInt16

from mai_jax.photos import colours, jpeg, metadata, png, tiff
from mai_jax.photos.coding import avif_subsampling, webp_is_lossless
from mai_jax.photos.header import FORMATS, open_header, quiet
from mai_jax.photos.photo import Photo, Samples
from mai_jax.photos.pillow_image import pillow_image
from mai_jax.types import InputError

LOSSY_QUALITY = 90
NEW_JPEG_QUALITY = 95
HOLDS_ALPHA = ("PNG", "TIFF", "WEBP", "AVIF", "GIF")
HOLDS_16_BITS = ("PNG", "TIFF")
HOLDS_GREY = ("PNG", "TIFF", "JPEG", "BMP")


def encode(
    photo: Photo, rgb: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"], hole: Bool[np.ndarray, "h w"], *,
    opaque_hole: bool = False, format: str | None = None,
) -> bytes:  # fmt: skip
    """The file of `photo` with the pixels of `hole` replaced by those of `rgb`.

    The alpha of the hole stays, or with `opaque_hole` becomes opaque. `format` is one of Pillow's names, None is the
    photo's own. Raises InputError if that format cannot hold what the photo has, or its metadata are damaged.
    """
    if rgb.shape != photo.rgb.shape or rgb.dtype != photo.rgb.dtype or hole.shape != rgb.shape[:2]:
        raise ValueError(f"{photo.name}: rgb and hole are not of the photograph's size and type")
    wanted = format or photo.format
    if wanted not in FORMATS:
        raise InputError(f"{photo.name}: cannot be written as {wanted}; choose one of {', '.join(FORMATS)}")
    painted = colours.paint(photo.samples, rgb, hole, opaque=opaque_hole)
    _check_holds(photo, painted, wanted)
    try:
        with quiet():
            return _rewritten(photo, painted) if wanted == photo.format else _converted(photo, painted, wanted)
    except InputError:
        raise
    except Exception as reason:  # damaged metadata: the pixels were read, and Pillow or struct stumble over the rest
        why = " ".join(str(reason).split()) or type(reason).__name__
        raise InputError(f"{photo.name}: its metadata are damaged ({why}); remove them, or save it anew") from reason


def _check_holds(photo, painted, wanted):
    alpha = colours.to_alpha(painted)
    if wanted not in HOLDS_ALPHA and alpha is not None and alpha.min() < np.iinfo(alpha.dtype).max:
        raise InputError(f"{photo.name}: is transparent in places, which {wanted} cannot hold; write a PNG")
    if wanted not in HOLDS_16_BITS and painted.depth == 16:
        raise InputError(f"{photo.name}: has 16 bits per channel, which {wanted} cannot hold; write a PNG or TIFF")
    if wanted == "GIF" != photo.format:
        raise InputError(f"{photo.name}: has more colours than GIF can hold; write a PNG")


def _rewritten(photo, painted):
    header = open_header(photo.source)
    match photo.format:
        case "PNG":
            return png.rewrite(photo.source, header, painted)
        case "TIFF":
            return tiff.rewrite(header, painted)
        case "JPEG":
            return jpeg.rewrite(photo.source, header, painted, sideways=photo.orientation >= 5)
        case "GIF":
            kept = ("transparency", "comment", "background", "interlace", "loop", "duration")
            options = {key: header.info[key] for key in kept if key in header.info}
            return _saved(painted, "GIF", optimize=False, **options)
        case "BMP":
            return _saved(painted, "BMP", **metadata.read(header).pillow(painted.mode))
    return _saved(painted, photo.format, **_lossy_options(photo), **metadata.read(header).pillow(painted.mode))


def _lossy_options(photo):
    """How a WebP or AVIF was coded, as far as its bytes tell."""
    if photo.format == "WEBP":
        return {"lossless": webp_is_lossless(photo.source), "exact": True, "quality": LOSSY_QUALITY}
    return {"quality": LOSSY_QUALITY, "subsampling": avif_subsampling(photo.source)}


def _converted(photo, painted, wanted):
    """The picture as RGB or grey, with alpha where it is transparent, in a new file of another format."""
    described = metadata.read(open_header(photo.source))
    samples = _plain(painted, grey=painted.mode in ("L", "LA") and wanted in HOLDS_GREY, alpha=wanted in HOLDS_ALPHA)
    given = described.pillow(samples.mode)
    if wanted in ("PNG", "TIFF"):
        everything = {"icc": given.get("icc_profile", b""), "exif": described.exif, "xmp": described.xmp}
        return (png if wanted == "PNG" else tiff).write(samples, **everything, dpi=described.dpi)
    options = {"JPEG": {"quality": NEW_JPEG_QUALITY, "subsampling": "4:4:4"}, "WEBP": {"quality": LOSSY_QUALITY},
               "AVIF": {"quality": LOSSY_QUALITY, "subsampling": "4:4:4"}, "BMP": {}}  # fmt: skip
    if wanted == "JPEG" and described.exif:
        given["exif"] = b"Exif\0\0" + described.exif
    try:
        return _saved(samples, wanted, **options[wanted], **given)
    except (OSError, ValueError) as reason:  # a side or metadata too long for the format
        raise InputError(f"{photo.name}: cannot be written as {wanted} ({reason}); write a PNG") from reason


def _plain(painted, *, grey, alpha):
    rgb, opacity = colours.to_rgb(painted), colours.to_alpha(painted)
    values, mode = (rgb[..., :1], "L") if grey else (rgb, "RGB")
    if alpha and opacity is not None:
        values, mode = np.concatenate([values, opacity[..., None]], -1), mode + "A"
    return Samples(np.ascontiguousarray(values), mode, 8 * rgb.itemsize)


def _saved(samples, format, **options):
    """The file that Pillow makes of samples with up to 8 bits."""
    file = io.BytesIO()
    pillow_image(samples).save(file, format, **options)
    return file.getvalue()
