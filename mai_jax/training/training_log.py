"""Reading of log.jsonl: scalars by step, and events."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mai_jax.errors import InputError
from mai_jax.files import read_file

NAME = "log.jsonl"
EVENT, STEP, TIME = "event", "step", "wall_time"  # fields that are no scalars

Line = dict[str, Any]  # "step" and "wall_time", with "event": str or scalars as floats


def read(path: Path) -> list[Line]:
    """Return the lines of a log, or of that in the folder `path`, with non-finite values as floats.

    An incomplete last line, which a running or killed training may leave, is dropped. Raises InputError.
    """
    path = path / NAME if path.is_dir() else path
    try:
        texts = read_file(path).splitlines(keepends=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the folder of a run, where mai train "
                         "writes it") from error
    if texts and not texts[-1].endswith(b"\n"):
        texts.pop()
    return [_line(text, f"{path}, line {number}") for number, text in enumerate(texts, 1)]


def by_step(lines: Sequence[Line]) -> list[Line]:
    """Return one line per step, ascending: what several lines say about a step together."""
    merged: dict[float, Line] = {}
    for line in sorted(lines, key=lambda line: line[STEP]):
        earlier = merged.setdefault(line[STEP], {})
        if EVENT in line and EVENT in earlier:
            line = {**line, EVENT: f"{earlier[EVENT]}; {line[EVENT]}"}
        earlier |= line
    return list(merged.values())


def names(lines: Sequence[Line]) -> list[str]:
    """Return the names of all scalars, in the order of their first appearance."""
    return [name for name in dict.fromkeys(name for line in lines for name in line) if name not in (EVENT, STEP, TIME)]


def to_csv(lines: Sequence[Line]) -> str:
    """Return the log as CSV: one row per step, a column per scalar, empty where a step has no value."""
    columns = [STEP, TIME, *names(lines), EVENT]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _number(value) for name, value in line.items()} for line in by_step(lines))
    return text.getvalue()


def _line(text: bytes, where: str) -> Line:
    try:
        values = json.loads(text)
        line = {name: value if name == EVENT else float(value) for name, value in values.items()}
        if not isinstance(line.get(EVENT, ""), str):
            raise ValueError(f"event={line[EVENT]!r}")
        return {STEP: line.pop(STEP), **line}
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise InputError(f"{where}: is not a line of a training log ({error!r}); remove the line or name another "
                         "folder") from error


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value
