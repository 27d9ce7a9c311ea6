"""Writing of a JPEG with the coding parameters and the metadata segments of its source."""

import io
from collections.abc import Iterator

from PIL import JpegImagePlugin

from mai_jax.image_io.embedded_metadata import upright_exif, upright_xmp, without_thumbnails
from mai_jax.image_io.photo import Samples, pillow_image

APP0, APP1, APP2, APP13, APP14, APP15, COMMENT = 0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xEF, 0xFE
START_OF_SCAN, END, HUFFMAN = 0xDA, 0xD9, 0xC4
PHOTOSHOP = b"Photoshop 3.0\0"
STANDALONE = {0x00, 0x01, *range(0xD0, 0xD9)}  # markers without a length
STANDARD_DC = bytes([0, 0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, *range(12)])  # ITU-T T.81, table K.3


def rewrite(
    source: bytes, header: JpegImagePlugin.JpegImageFile, samples: Samples, *, transposed: bool,
    quality: int | None = None,
) -> bytes:  # fmt: skip
    """Return a JPEG of the samples with the coding parameters and metadata segments of `source`.

    `transposed` means that the samples are rotated by 90 degrees against `source`. `quality` selects other tables than
    those of `source`.
    """
    pixels = io.BytesIO()
    tables: dict = {"qtables": _tables(header)} if quality is None else {"quality": quality}
    pillow_image(samples).save(
        pixels, "JPEG", **tables, subsampling=_subsampling(header, transposed=transposed),
        progressive=bool(header.info.get("progressive")), optimize=not _standard_huffman(source),
        keep_rgb=samples.mode == "RGB" and _is_stored_as_rgb(header))  # fmt: skip
    encoded = pixels.getvalue()
    segments = list(_segments(encoded))
    adobe = [_segment(marker, payload) for marker, payload, _ in segments if marker == APP14]
    begin = max((end for marker, _, end in segments if _is_metadata(marker) or marker == APP14), default=2)
    return b"".join([b"\xff\xd8", *metadata_segments(source), *adobe, encoded[begin:]])


def metadata_segments(source: bytes) -> list[bytes]:
    """Return the metadata segments of `source` with orientation 1, without thumbnails and other pictures."""
    kept = []
    for marker, payload, _ in _segments(source):
        second_picture = marker == APP2 and payload.startswith((b"MPF\0", b"urn:iso:std:iso:ts:21496"))
        if not _is_metadata(marker) or second_picture or (marker == APP0 and payload.startswith(b"JFXX")):
            continue
        if marker == APP0 and payload.startswith(b"JFIF") and len(payload) > 14:
            payload = payload[:12] + b"\0\0"  # no thumbnail
        elif marker == APP1 and payload.startswith(b"Exif\0\0"):
            payload = upright_exif(payload)
        elif marker == APP1:
            payload = upright_xmp(payload)
        elif marker == APP13 and payload.startswith(PHOTOSHOP):
            payload = PHOTOSHOP + without_thumbnails(payload.removeprefix(PHOTOSHOP))
        kept.append(_segment(marker, payload))
    return kept


def _is_metadata(marker):
    return (APP0 <= marker <= APP15 and marker != APP14) or marker == COMMENT


def _segment(marker, payload):
    return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload


def _segments(encoded: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield (marker, payload, end) of each segment before the first scan; bytes between segments are skipped."""
    place = 2
    while (place := encoded.find(b"\xff", place)) >= 0:
        while place < len(encoded) and encoded[place] == 0xFF:
            place += 1
        marker = encoded[place] if place < len(encoded) else END
        if marker in (START_OF_SCAN, END):
            return
        place += 1
        if marker not in STANDALONE:
            end = place + int.from_bytes(encoded[place : place + 2], "big")
            yield marker, encoded[place + 2 : end], end
            place = end


def _tables(header):
    """Return a quantisation table per component; the last one also applies to the components that follow."""
    tables = [header.quantization[table] for _, _, _, table in header.layer]
    if header.info.get("adobe_transform") == 2:
        # YCCK is written as CMYK, whose components must not use the coarse chroma tables.
        return tables[:1]
    while len(tables) > 1 and tables[-1] == tables[-2]:
        tables.pop()
    return tables


def _subsampling(header, *, transposed):
    """Return Pillow's number: 0 = 4:4:4, 1 = 4:2:2, 2 = 4:2:0; anything else becomes 4:4:4, which loses nothing."""
    across, down = header.layer[0][1:3]
    if len(header.layer) < 3 or any(layer[1:3] != (1, 1) for layer in header.layer[1:3]):
        return 0
    return {(2, 1): 0 if transposed else 1, (2, 2): 2}.get((across, down), 0)


def _is_stored_as_rgb(header):
    names = [layer[0] for layer in header.layer]
    return header.info.get("adobe_transform") == 0 or names == list(b"RGB")


def _standard_huffman(source):
    return any(STANDARD_DC in payload for marker, payload, _ in _segments(source) if marker == HUFFMAN)
