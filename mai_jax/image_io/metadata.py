"""Metadata of an image file, for formats that Pillow writes and for conversion to another format."""

from dataclasses import dataclass

from PIL import Image

from mai_jax.image_io import tiff
from mai_jax.image_io.embedded_metadata import upright_exif, upright_xmp

PROFILE_SPACE = {b"GRAY": "L", b"RGB ": "RGB", b"CMYK": "CMYK"}


@dataclass(frozen=True)
class Metadata:
    """The metadata that Pillow can write.

    `icc`, `exif` (without the prefix "Exif") and `xmp` are empty if the file has none. `dpi` is
    (horizontal, vertical).
    """

    icc: bytes
    exif: bytes
    xmp: bytes
    dpi: tuple[float, float] | None

    def save_options(self, mode: str) -> dict:
        """Return arguments of Pillow's `save` for pixels of that mode; a profile of another colour space is dropped."""
        fits = PROFILE_SPACE.get(self.icc[16:20]) == mode.removesuffix("A")
        options = {"icc_profile": self.icc if fits else b"", "exif": self.exif, "xmp": self.xmp, "dpi": self.dpi}
        return {name: value for name, value in options.items() if value}


def read(image: Image.Image) -> Metadata:
    """Return the metadata of an opened file of any format, with orientation 1."""
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    exif = tiff.exif_of(image) if image.format == "TIFF" else _exif(image)
    dpi = image.info.get("dpi")
    return Metadata(
        icc=image.info.get("icc_profile") or b"",
        exif=upright_exif(exif).removeprefix(b"Exif\0\0"),
        xmp=upright_xmp(xmp.encode() if isinstance(xmp, str) else xmp),
        dpi=(float(dpi[0]), float(dpi[1])) if dpi else None,
    )


def _exif(image):
    if "Raw profile type exif" in image.info and "exif" not in image.info:
        return image.getexif().tobytes()
    return image.info.get("exif") or b""  # a HEIC without has None
