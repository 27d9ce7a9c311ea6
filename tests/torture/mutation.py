"""Changes files as an enemy or a bad disk would. Everything follows from a generator, so that it can be made again."""

import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

# Files by their path relative to a folder. In place of content: "fifo", "folder", or "-> TARGET", a link.
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
DEEP = 50_000  # brackets in one another


def mutated(tree: Tree, others: Sequence[Tree], rng: np.random.Generator) -> Tree:
    """The tree with something changed in it; `others` lend parts."""
    tree = dict(tree)
    if rng.random() < (0.3 if len(tree) > 1 else 0.02):
        _change_files(tree, rng)
    content = [name for name, held in tree.items() if isinstance(held, bytes)]
    for _ in range((1 if rng.random() < 0.8 else 2) if content else 0):
        name = content[rng.integers(len(content))]
        lent = [other[key] for other in others for key in other if key.rpartition(".")[2] == name.rpartition(".")[2]]
        tree[name] = changed(tree[name], lent or [tree[name]], rng)
    return tree


def changed(data: bytes, lent: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """The content with something changed in it."""
    if data[:1] in (b"{", b"[") and rng.random() < 0.8:
        return _changed_json(data, rng)
    gentle = rng.random() < 0.5
    for _ in range(1 if gentle else rng.integers(1, 4)):
        way = (_flip_one, _overwrite)[rng.integers(2)] if gentle else WAYS[rng.integers(len(WAYS))]
        data = way(data, lent[rng.integers(len(lent))], rng)
    return with_true_checksums(data) if data.startswith(PNG) and rng.random() < 0.7 else data


def with_true_checksums(png: bytes) -> bytes:
    """The chunks with checksums that fit, so that a reader goes on to what lies behind them."""
    place, parts = len(PNG), [PNG]
    while place + 12 <= len(png):
        (size,) = struct.unpack_from(">I", png, place)
        held = png[place + 4 : place + 8 + size]
        parts += [png[place : place + 4], held, struct.pack(">I", zlib.crc32(held))]
        place += 12 + size
    return b"".join(parts) + png[place:]


def _change_files(tree: Tree, rng: np.random.Generator) -> None:
    names = list(tree)
    one, other = (names[i] for i in rng.integers(len(names), size=2))
    way = rng.integers(6)
    if way == 0:
        del tree[one]
    elif way == 1:
        tree[one], tree[other] = tree[other], tree[one]
    elif way == 2:
        tree[one] = b""
    elif way in (3, 4):
        folder, slash, name = one.rpartition("/")
        suffix = name[name.find("."):] if "." in name else ""
        tree[folder + slash + NAMES[rng.integers(len(NAMES))] + suffix] = tree[one] if way == 3 else tree.pop(one)
    else:
        tree[one] = SPECIAL[rng.integers(len(SPECIAL))]


def _flip_one(data, other, rng):
    place = min(_place(data, rng), len(data) - 1)
    return data[:place] + bytes(value ^ 1 << rng.integers(8) for value in data[place : place + 1]) + data[place + 1 :]


def _flip(data, other, rng):
    changed = bytearray(data)
    for place in rng.integers(max(len(data), 1), size=rng.integers(1, 9)) if data else ():
        changed[place] ^= 1 << rng.integers(8)
    return bytes(changed)


def _overwrite(data, other, rng):
    """A number that is often a limit, in place of what may be a length."""
    size = int(rng.choice([1, 2, 4, 8]))
    number = int(NUMBERS[rng.integers(len(NUMBERS))]) % 256**size
    place = _place(data, rng)
    return data[:place] + number.to_bytes(size, ("big", "little")[rng.integers(2)]) + data[place + size :]


def _truncate(data, other, rng):
    return data[: _place(data, rng)]


def _cut_out(data, other, rng):
    start, stop = _range(data, rng)
    return data[:start] + data[stop:]


def _repeat(data, other, rng):
    start, stop = _range(data, rng)
    return data[:stop] + data[start:stop] * int(rng.integers(1, 50)) + data[stop:]


def _splice(data, other, rng):
    start, stop = _range(other, rng)
    place = _place(data, rng)
    return data[:place] + other[start:stop] + data[place + (stop - start) * int(rng.integers(2)) :]


def _swap(data, other, rng):
    a, b, c, d = sorted(int(place) for place in rng.integers(len(data) + 1, size=4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _fill(data, other, rng):
    start, stop = _range(data, rng)
    return data[:start] + bytes([rng.choice([0, 255, 32, 48])]) * (stop - start) + data[stop:]


WAYS = (_flip, _overwrite, _overwrite, _truncate, _cut_out, _repeat, _splice, _swap, _fill)


def _place(data: bytes, rng: np.random.Generator) -> int:
    """Anywhere, often near the beginning, where headers are, or behind a mark of what programs read with care."""
    found = [place for mark in MARKS if (place := data.find(mark)) >= 0]
    if found and rng.random() < 0.3:
        return min(len(data), found[rng.integers(len(found))] + int(rng.integers(60)))
    return int(rng.integers(min(len(data), 200) + 1 if rng.random() < 0.5 else len(data) + 1))


def _range(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    start = _place(data, rng)
    return start, min(len(data), start + int(2 ** (rng.random() * 12)))


def _changed_json(data: bytes, rng: np.random.Generator) -> bytes:
    """One value of a JSON document, or of a line of a file of such lines, is another; or brackets without end."""
    lines = data.split(b"\n") if data.count(b"\n{") else [data]
    number = int(rng.integers(len(lines)))
    if rng.random() < 0.02:
        return data[: _place(data, rng)] + b'{"a":[' * DEEP
    try:
        document = json.loads(lines[number])
    except ValueError:
        return _flip(data, data, rng)
    lines[number] = json.dumps(_with_another_value(document, rng)).encode()
    return b"\n".join(lines)


def _with_another_value(node: Any, rng: np.random.Generator) -> Any:
    if not isinstance(node, dict | list) or not node or rng.random() < 0.1:
        return VALUES[rng.integers(len(VALUES))]
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    key = keys[rng.integers(len(keys))]
    way = rng.random()
    if way < 0.08:
        del node[key]
    elif way < 0.14 and isinstance(node, dict):
        node[WORDS[rng.integers(len(WORDS))]] = node[key]
    else:
        node[key] = _with_another_value(node[key], rng)
    return node
