"""Random mutations of files, as by an attacker or a damaged disk, reproducible from a random generator."""

import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

# Content of files by path relative to a folder; instead of bytes "fifo", "folder", or "-> TARGET" for a link.
Tree = dict[str, bytes | str]

PNG = b"\x89PNG\r\n\x1a\n"
NUMBERS = (0, 1, 2, 7, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1,
           2**64 - 1)  # fmt: skip
WORDS = ("", "..", "../../../../etc/passwd", "/etc/passwd", "C:\\x", "file:///etc/passwd", "\0", "two\nlines",
         "\ud800", "x" * 5000, "é\u202e", "\x1b[2J", "1e999", "-", "random", "hub")  # fmt: skip
VALUES: tuple[Any, ...] = (None, True, False, *(sign * n for n in NUMBERS for sign in (1, -1)), 10**30, 0.5, -0.0,
                           1e-320, 1e308, float("nan"), float("inf"), *WORDS, [], {}, [[[]]], [1e308] * 9,
                           {"path": "/etc/passwd"})  # fmt: skip
NAMES = ("two\nlines", "-rf", "caf\udce9", "\x1b[2J", "a" * 240, "é\u202e", " ", "%00", ".hidden", "..a")
SPECIAL = ("fifo", "folder", "-> /dev/zero", "-> /etc/passwd", "-> .", "-> nowhere")
MARKS = (b"Exif\0\0", b"eXIf", b"MM\0*", b"II*\0", b"8BIM", b"iCCP", b"acsp", b"IHDR", b"PLTE", b"tRNS", b"meta",
         b"VP8", b"data.pkl", b"PK\1\2", b"torch", b"__metadata__", b"Content-Length")  # fmt: skip
DEPTH = 50_000  # nested brackets


def mutate_tree(tree: Tree, others: Sequence[Tree], rng: np.random.Generator) -> Tree:
    """Return the tree with a mutation; parts of `others` are used as donors."""
    tree = dict(tree)
    if rng.random() < (0.3 if len(tree) > 1 else 0.02):
        _mutate_names(tree, rng)
    names = [name for name, content in tree.items() if isinstance(content, bytes)]
    for _ in range((1 if rng.random() < 0.8 else 2) if names else 0):
        name = names[rng.integers(len(names))]
        donors = [other[key] for other in others for key in other if key.rpartition(".")[2] == name.rpartition(".")[2]]
        tree[name] = mutate(tree[name], donors or [tree[name]], rng)
    return tree


def mutate(data: bytes, donors: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Return the content with a mutation."""
    if data[:1] in (b"{", b"[") and rng.random() < 0.8:
        return _mutate_json(data, rng)
    is_small = rng.random() < 0.5
    for _ in range(1 if is_small else rng.integers(1, 4)):
        mutation = (_flip_one, _overwrite)[rng.integers(2)] if is_small else MUTATIONS[rng.integers(len(MUTATIONS))]
        data = mutation(data, donors[rng.integers(len(donors))], rng)
    return fix_png_checksums(data) if data.startswith(PNG) and rng.random() < 0.7 else data


def fix_png_checksums(png: bytes) -> bytes:
    """Return the PNG with correct checksums of its chunks, so that a reader does not stop at them."""
    position, parts = len(PNG), [PNG]
    while position + 12 <= len(png):
        (size,) = struct.unpack_from(">I", png, position)
        chunk = png[position + 4 : position + 8 + size]
        parts += [png[position : position + 4], chunk, struct.pack(">I", zlib.crc32(chunk))]
        position += 12 + size
    return b"".join(parts) + png[position:]


def _mutate_names(tree: Tree, rng: np.random.Generator) -> None:
    names = list(tree)
    one, other = (names[i] for i in rng.integers(len(names), size=2))
    choice = rng.integers(6)
    if choice == 0:
        del tree[one]
    elif choice == 1:
        tree[one], tree[other] = tree[other], tree[one]
    elif choice == 2:
        tree[one] = b""
    elif choice in (3, 4):
        folder, slash, name = one.rpartition("/")
        suffix = name[name.find("."):] if "." in name else ""
        tree[folder + slash + NAMES[rng.integers(len(NAMES))] + suffix] = tree[one] if choice == 3 else tree.pop(one)
    else:
        tree[one] = SPECIAL[rng.integers(len(SPECIAL))]


def _flip_one(data, other, rng):
    position = min(_position(data, rng), len(data) - 1)
    flipped = bytes(value ^ 1 << rng.integers(8) for value in data[position : position + 1])
    return data[:position] + flipped + data[position + 1 :]


def _flip(data, other, rng):
    flipped = bytearray(data)
    for position in rng.integers(max(len(data), 1), size=rng.integers(1, 9)) if data else ():
        flipped[position] ^= 1 << rng.integers(8)
    return bytes(flipped)


def _overwrite(data, other, rng):
    """Write a number that is often a limit, at a position that may hold a length."""
    size = int(rng.choice([1, 2, 4, 8]))
    number = int(NUMBERS[rng.integers(len(NUMBERS))]) % 256**size
    position = _position(data, rng)
    return data[:position] + number.to_bytes(size, ("big", "little")[rng.integers(2)]) + data[position + size :]


def _truncate(data, other, rng):
    return data[: _position(data, rng)]


def _cut_out(data, other, rng):
    start, stop = _range(data, rng)
    return data[:start] + data[stop:]


def _repeat(data, other, rng):
    start, stop = _range(data, rng)
    return data[:stop] + data[start:stop] * int(rng.integers(1, 50)) + data[stop:]


def _splice(data, other, rng):
    start, stop = _range(other, rng)
    position = _position(data, rng)
    return data[:position] + other[start:stop] + data[position + (stop - start) * int(rng.integers(2)) :]


def _swap(data, other, rng):
    a, b, c, d = sorted(int(position) for position in rng.integers(len(data) + 1, size=4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _fill(data, other, rng):
    start, stop = _range(data, rng)
    return data[:start] + bytes([rng.choice([0, 255, 32, 48])]) * (stop - start) + data[stop:]


MUTATIONS = (_flip, _overwrite, _overwrite, _truncate, _cut_out, _repeat, _splice, _swap, _fill)


def _position(data: bytes, rng: np.random.Generator) -> int:
    """Return a random position, often near the beginning, where headers are, or after one of MARKS."""
    found = [position for mark in MARKS if (position := data.find(mark)) >= 0]
    if found and rng.random() < 0.3:
        return min(len(data), found[rng.integers(len(found))] + int(rng.integers(60)))
    return int(rng.integers(min(len(data), 200) + 1 if rng.random() < 0.5 else len(data) + 1))


def _range(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    start = _position(data, rng)
    return start, min(len(data), start + int(2 ** (rng.random() * 12)))


def _mutate_json(data: bytes, rng: np.random.Generator) -> bytes:
    """Replace one value of a JSON document or of one of several JSON lines; rarely, append deeply nested brackets."""
    lines = data.split(b"\n") if data.count(b"\n{") else [data]
    number = int(rng.integers(len(lines)))
    if rng.random() < 0.02:
        return data[: _position(data, rng)] + b'{"a":[' * DEPTH
    try:
        document = json.loads(lines[number])
    except ValueError:
        return _flip(data, data, rng)
    lines[number] = json.dumps(_replace_value(document, rng)).encode()
    return b"\n".join(lines)


def _replace_value(node: Any, rng: np.random.Generator) -> Any:
    if not isinstance(node, dict | list) or not node or rng.random() < 0.1:
        return VALUES[rng.integers(len(VALUES))]
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    key = keys[rng.integers(len(keys))]
    choice = rng.random()
    if choice < 0.08:
        del node[key]
    elif choice < 0.14 and isinstance(node, dict):
        node[WORDS[rng.integers(len(WORDS))]] = node[key]
    else:
        node[key] = _replace_value(node[key], rng)
    return node
