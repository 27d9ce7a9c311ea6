"""The only writer of logs: one JSON object per line for programs, TensorBoard event files and PNG files for people.

Of tensorboardX only the record format is used. Its SummaryWriter hands records to a thread through a queue, where a
SIGKILL loses them, and where a full disk ends the thread unseen and then blocks the training.
"""

import contextlib
import errno
import io
import json
import math
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import masked_crc32c

from mai_jax.files import write_whole
from mai_jax.types import InputError


class Logbook:
    """Writes `log.jsonl`, `tensorboard/` and `pictures/` in a folder; what a call has written survives SIGKILL.

    `step` is the step that the run goes on from, 0 for a new one: what an earlier process logged after it is dropped,
    for it will be logged again. Every call raises InputError if the disk is full.
    """

    def __init__(self, workdir: Path, *, step: int):
        self._workdir = workdir
        log, events = workdir / "log.jsonl", workdir / "tensorboard" / f"events.out.tfevents.{time.time_ns()}"
        with self._room(), contextlib.ExitStack() as files:
            for folder in ("tensorboard", "pictures"):
                (workdir / folder).mkdir(parents=True, exist_ok=True)
            _forget_after(step, log)
            self._log, self._events = (files.enter_context(path.open("ab", buffering=0)) for path in (log, events))
            self._event(0, file_version="brain.Event:2")
            # TensorBoard hides what older files hold at the step of a START and after it.
            self._event(step + 1, session_log=SessionLog(status=SessionLog.START))
            self._files = files.pop_all()

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        """Logs numbers by name. JSON has no NaN and no infinity: there they are the strings "nan", "inf", "-inf"."""
        floats = {name: float(value) for name, value in values.items()}
        line = {"step": step, "wall_time": time.time()}
        line |= {name: value if math.isfinite(value) else str(value) for name, value in floats.items()}
        with self._room():
            _append(self._log, json.dumps(line).encode() + b"\n")
            self._event(step, summary=Summary(
                value=[Summary.Value(tag=name, simple_value=value) for name, value in floats.items()]))

    def pictures(self, step: int, name: str, picture: UInt8[np.ndarray, "h w 3"]) -> None:
        """Logs a picture, also as `pictures/NAME_STEP.png`."""
        png = io.BytesIO()
        Image.fromarray(picture).save(png, "png")
        height, width, colours = picture.shape
        shown = Summary.Image(height=height, width=width, colorspace=colours, encoded_image_string=png.getvalue())
        with self._room():
            write_whole(self._workdir / "pictures" / f"{name}_{step:08d}.png", png.getvalue())
            self._event(step, summary=Summary(value=[Summary.Value(tag=name, image=shown)]))

    def close(self) -> None:
        with self._room():
            self._files.close()

    def __enter__(self) -> "Logbook":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _event(self, step: int, **content: Any) -> None:
        """A record is length, checksum of the length, event, checksum of the event."""
        event = Event(wall_time=time.time(), step=step, **content).SerializeToString()
        length = struct.pack("<Q", len(event))
        checks = [struct.pack("<I", masked_crc32c(part)) for part in (length, event)]
        _append(self._events, length + checks[0] + event + checks[1])

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise InputError(f"no space left in {self._workdir}: free some and start the same command again") from error


class Silence(Logbook):
    """Writes nothing: the logbook of all processes but the first."""

    def __init__(self) -> None:
        pass

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        pass

    def pictures(self, step: int, name: str, picture: UInt8[np.ndarray, "h w 3"]) -> None:
        pass

    def close(self) -> None:
        pass


def _append(file: io.FileIO, content: bytes) -> None:
    """All of it: a write to a disk that has little room left may take a part only."""
    while content:
        content = content[file.write(content):]


def _forget_after(step: int, log: Path) -> None:
    """Drops the lines of later steps, and a last line that a crash tore."""
    if not log.exists():
        return
    lines = log.read_bytes().splitlines()
    kept = []
    for number, line in enumerate(lines, 1):
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + b"\n")
        except ValueError:
            if number < len(lines):
                raise InputError(f"{log}, line {number}: not JSON: mend the line or move the file away") from None
    write_whole(log, b"".join(kept))
