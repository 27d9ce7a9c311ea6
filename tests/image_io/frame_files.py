"""Files of several frames of every kind, written without the package: random places, blending and disposal."""

import io
import struct

import numpy as np
from PIL import Image

from tests.image_io.photo_files import PNG_COLOUR, chunk, image, png, saved

FILL = 77  # the grey with which tests fill; it is in every palette
SHAPE = (24, 32)
DELAYS = (70, 80, 90, 100, 110)  # milliseconds; one frame each


def boxes(rng, whole=1):
    """Yield top, left, height and width of each frame, even numbers; the first `whole` are the whole canvas."""
    for i in range(len(DELAYS)):
        height, width = SHAPE if i < whole else (2 * rng.integers(4, side // 2 + 1) for side in SHAPE)
        top, left = 2 * rng.integers((SHAPE[0] - height) // 2 + 1), 2 * rng.integers((SHAPE[1] - width) // 2 + 1)
        yield top, left, height, width


def values(rng, height, width, channels, colours=256):
    """Return noise of few colours; a channel of alpha is 0 or the largest value."""
    found = rng.integers(0, colours, (height, width, channels)).astype(np.uint16 if colours > 256 else np.uint8)
    if channels in (2, 4):
        found[..., -1] = np.where(found[..., -1] < colours // 3, 0, colours - 1)
    return found


def palette(rng, colours):
    rows = rng.integers(0, 256, (colours, 3), dtype=np.uint8)
    rows[1] = FILL
    return rows


def gif(rng, *, shared, greys=False):
    """Index 0 is transparent. With `shared` one palette is for all frames, otherwise each has its own."""
    everywhere = np.arange(16, dtype=np.uint8).repeat(3).reshape(16, 3) if greys else palette(rng, 16)
    body = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x05\0\0" + b"\x21\xfe\x07comment\0"
    for delay, (top, left, h, w) in zip(DELAYS, boxes(rng), strict=True):
        own = everywhere if shared else palette(rng, 16)
        indices = np.maximum(values(rng, h, w, 1, 16), top == left == 0)  # the first is opaque
        alone = saved(image(indices, "P", own), "GIF", optimize=False, interlace=int(rng.integers(2)))
        place = alone.index(b"\x2c", 13 + 48)
        control = struct.pack("<BHB", int(rng.integers(1, 4)) << 2 | 1, delay // 10, 0)
        descriptor = struct.pack("<HHHHB", left, top, w, h, alone[place + 9] & 0x40 | (0 if shared else 0x83))
        body += b"\x21\xf9\x04" + control + b"\0\x2c" + descriptor + (b"" if shared else own.tobytes())
        body += alone[place + 10 : -1]
    screen = struct.pack("<HHBBB", SHAPE[1], SHAPE[0], 0x83 if shared else 0, 0, 0)
    return b"GIF89a" + screen + (everywhere.tobytes() if shared else b"") + body + b";"


def apng(rng, mode, depth=8, *, still=False, interlaced=False):
    """With `still` the first picture is no part of the animation."""
    frames, number, shared = [], 0, b""
    if mode == "P":
        shared = chunk(b"PLTE", palette(rng, 16).tobytes()) + chunk(b"tRNS", b"\0")
    for i, (delay, (top, left, h, w)) in enumerate(zip(DELAYS, boxes(rng, 1 + still), strict=True)):
        channels = {"L": 1, "P": 1, "LA": 2, "RGB": 3, "RGBA": 4}[mode]
        pixels = values(rng, h, w, channels, 16 if mode == "P" else 1 << depth)
        coded = png(pixels, mode, depth, interlaced=interlaced)
        start = coded.index(b"IDAT") + 4
        data = coded[start : start + struct.unpack(">I", coded[start - 8 : start - 4])[0]]
        if not (still and i == 0):
            # After a still, Pillow takes it for the canvas of the first frame.
            disposal, blending = (0, 0) if still and i == 1 else (int(rng.integers(3)), int(rng.integers(2)))
            placed = (number, w, h, left, top, delay, 1000, disposal, blending)
            frames.append(chunk(b"fcTL", struct.pack(">IIIIIHHBB", *placed)))
            number += 1
        frames.append(chunk(b"fdAT", struct.pack(">I", number) + data) if i else chunk(b"IDAT", data))
        number += i > 0
    header = struct.pack(">IIBBBBB", SHAPE[1], SHAPE[0], depth, PNG_COLOUR[mode], 0, 0, interlaced)
    animation = chunk(b"acTL", struct.pack(">II", len(DELAYS) - still, 4)) + chunk(b"tEXt", b"Title\0a title")
    return b"\x89PNG\r\n\x1a\n" + b"".join([chunk(b"IHDR", header), shared, animation, *frames, chunk(b"IEND", b"")])


def webp(rng, mode, **options):
    def part(kind, data):
        return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)

    frames = []
    for delay, (top, left, h, w) in zip(DELAYS, boxes(rng), strict=True):
        coded = saved(image(values(rng, h, w, len(mode)), mode), "WEBP", **options)
        pictures = coded[12:] if coded[12:16] != b"VP8X" else coded[30:]
        place = b"".join(struct.pack("<I", n)[:3] for n in (left // 2, top // 2, w - 1, h - 1, delay))
        frames.append(part(b"ANMF", place + bytes([int(rng.integers(4))]) + pictures))
    flags = 2 | (0x10 if mode == "RGBA" else 0)
    size = struct.pack("<I", SHAPE[1] - 1)[:3] + struct.pack("<I", SHAPE[0] - 1)[:3]
    body = b"WEBP" + part(b"VP8X", bytes([flags, 0, 0, 0]) + size) + part(b"ANIM", struct.pack("<IH", 0, 6))
    return b"RIFF" + struct.pack("<I", len(body) + sum(map(len, frames))) + body + b"".join(frames)


def tiff(rng, mode, *, big=False, packed="tiff_lzw"):
    pages = [image(values(rng, *SHAPE, len(mode)), mode) for _ in DELAYS]
    return saved(pages[0], "TIFF", save_all=True, append_images=pages[1:], compression=packed, big_tiff=big,
                 tiffinfo={270: "a description", 305: "a program"})


KINDS = {
    "GIF, one palette": lambda rng: gif(rng, shared=True),
    "GIF, greys": lambda rng: gif(rng, shared=True, greys=True),  # which Pillow reads without a palette
    "GIF, own palettes": lambda rng: gif(rng, shared=False),
    **{f"PNG {mode} {depth}": lambda rng, mode=mode, depth=depth: apng(rng, mode, depth)
       for mode, depth in (("L", 8), ("LA", 8), ("P", 8), ("RGB", 8), ("RGBA", 8), ("RGBA", 16))},
    "PNG with a still": lambda rng: apng(rng, "RGBA", still=True),
    "WEBP RGB": lambda rng: webp(rng, "RGB", lossless=True),
    "WEBP RGBA": lambda rng: webp(rng, "RGBA", lossless=True, exact=True),
    "WEBP lossy": lambda rng: webp(rng, "RGBA", quality=95),
    "TIFF RGB": lambda rng: tiff(rng, "RGB"),
    "TIFF L": lambda rng: tiff(rng, "L", packed="raw"),
    "TIFF RGBA big": lambda rng: tiff(rng, "RGBA", big=True),
}  # fmt: skip


def shown(encoded):
    """Return what Pillow shows: RGBA of each frame, and its timing and the rest of the description."""
    with Image.open(io.BytesIO(encoded)) as file:
        pictures, descriptions = [], []
        for i in range(file.n_frames):
            file.seek(i)
            pictures.append(np.asarray(file.convert("RGBA")))
            kept = ("duration", "loop", "comment", "Title", "background")
            tags = dict(file.tag_v2) if file.format == "TIFF" else {}
            descriptions.append({key: file.info.get(key) for key in kept} | {key: tags.get(key) for key in (270, 305)})
        return np.stack(pictures), descriptions, file.format
