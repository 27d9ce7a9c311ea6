"""What a file says about its picture, for formats that Pillow writes and for a change of format."""

from dataclasses import dataclass

from PIL import Image

from mai_jax.photos import tiff
from mai_jax.photos.upright import upright_exif, upright_xmp

PROFILE_SPACE = {b"GRAY": "L", b"RGB ": "RGB", b"CMYK": "CMYK"}


@dataclass(frozen=True)
class Metadata:
    """`icc`, `exif` (from its byte order on) and `xmp` are empty where the file has none; `dpi` is across and down."""

    icc: bytes
    exif: bytes
    xmp: bytes
    dpi: tuple[float, float] | None

    def pillow(self, mode: str) -> dict:
        """Arguments of Pillow's `save` for pixels of that mode, which a profile of other channels would falsify."""
        fits = PROFILE_SPACE.get(self.icc[16:20]) == mode.removesuffix("A")
        given = {"icc_profile": self.icc if fits else b"", "exif": self.exif, "xmp": self.xmp, "dpi": self.dpi}
        return {name: value for name, value in given.items() if value}


def read(image: Image.Image) -> Metadata:
    """The metadata of an opened file of any format, for upright pixels."""
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    exif = tiff.exif_of(image) if image.format == "TIFF" else _exif(image)
    dpi = image.info.get("dpi")
    return Metadata(
        icc=image.info.get("icc_profile") or b"",
        exif=upright_exif(exif).removeprefix(b"Exif\0\0"),
        xmp=upright_xmp(xmp.encode() if isinstance(xmp, str) else xmp),
        dpi=tuple(map(float, dpi)) if dpi else None,
    )


def _exif(image):
    if "Raw profile type exif" in image.info and "exif" not in image.info:
        return image.getexif().tobytes()
    return image.info.get("exif", b"")
