"""How a lossy file was coded, as far as its bytes tell and Pillow does not say."""


def webp_is_lossless(encoded: bytes) -> bool:
    """Whether the image chunk of a WebP (RFC 9649) is the lossless one."""
    place = 12
    while encoded[place : place + 4] not in (b"VP8L", b"VP8 ", b""):
        size = int.from_bytes(encoded[place + 4 : place + 8], "little")
        place += 8 + size + size % 2
    return encoded[place : place + 4] == b"VP8L"


def avif_bits(encoded: bytes) -> int:
    """Bits per channel of an AVIF."""
    flags = _avif_flags(encoded)
    return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10


def avif_subsampling(encoded: bytes) -> str:
    """The chroma subsampling of an AVIF, as Pillow names it."""
    return {0b00: "4:4:4", 0b10: "4:2:2"}.get(_avif_flags(encoded) >> 2 & 0b11, "4:2:0")


def _avif_flags(encoded):
    """The third byte of the first image's configuration (AV1 in ISO base media, section 2.3.3)."""
    place = encoded.find(b"av1C")
    return encoded[place + 6] if 0 <= place < len(encoded) - 6 else 0
