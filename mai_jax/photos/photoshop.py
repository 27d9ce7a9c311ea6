"""Photoshop's image resources, which JPEG and TIFF carry: IPTC captions, paths, and a thumbnail of the old picture."""

import struct

THUMBNAILS = (1033, 1036)


def without_thumbnails(resources: bytes) -> bytes:
    """The resources without thumbnails, which would still show what has been painted over."""
    kept, place = [], 0
    while resources[place : place + 4] == b"8BIM" and place + 12 <= len(resources):
        (kind,) = struct.unpack_from(">H", resources, place + 4)
        title = 1 + resources[place + 6]
        size_at = place + 6 + title + title % 2
        if size_at + 4 > len(resources):
            break
        (size,) = struct.unpack_from(">I", resources, size_at)
        end = size_at + 4 + size + size % 2
        if kind not in THUMBNAILS:
            kept.append(resources[place:end])
        place = end
    return b"".join(kept) + resources[place:]
