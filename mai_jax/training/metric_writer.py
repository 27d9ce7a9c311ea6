"""Logging of metrics: JSON lines, TensorBoard event files, PNG files, and the progress line.

Only the record format of tensorboardX is used. Its SummaryWriter passes records to a thread through a queue: a SIGKILL
loses them, and a full disk ends the thread without an error and then blocks the training.
"""

import contextlib
import errno
import io
import json
import logging
import math
import struct
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import masked_crc32c

from mai_jax.config import Config
from mai_jax.errors import InputError
from mai_jax.files import write_atomically
from mai_jax.training.train_state import learning_rate_schedule

log = logging.getLogger(__name__)


class MetricWriter:
    """Writes `log.jsonl`, `tensorboard/` and `pictures/` in a folder. What a call has written survives SIGKILL.

    `step` is the step that the run resumes from, 0 for a new run: lines that an earlier process logged after it are
    dropped, because these steps run again. Every call raises InputError if the disk is full.
    """

    def __init__(self, workdir: Path, *, step: int):
        self._workdir = workdir
        log, events = workdir / "log.jsonl", workdir / "tensorboard" / f"events.out.tfevents.{time.time_ns()}"
        with self._disk_full_as_input_error(), contextlib.ExitStack() as files:
            for folder in ("tensorboard", "pictures"):
                (workdir / folder).mkdir(parents=True, exist_ok=True)
            _drop_lines_after(step, log)
            self._log, self._events = (files.enter_context(path.open("ab", buffering=0)) for path in (log, events))
            self._event(0, file_version="brain.Event:2")
            # TensorBoard hides the values of older files at and after the step of a START.
            self._event(step + 1, session_log=SessionLog(status=SessionLog.START))
            self._files = files.pop_all()

    def write_scalars(self, step: int, values: Mapping[str, Any]) -> None:
        """Log scalars by name. In JSON, which has no NaN and infinity, they are the strings "nan", "inf" and "-inf"."""
        floats = {name: float(value) for name, value in values.items()}
        line: dict[str, Any] = {"step": step, "wall_time": time.time()}
        line |= {name: value if math.isfinite(value) else str(value) for name, value in floats.items()}
        with self._disk_full_as_input_error():
            _append(self._log, json.dumps(line).encode() + b"\n")
            self._event(step, summary=Summary(
                value=[Summary.Value(tag=name, simple_value=value) for name, value in floats.items()]))

    def write_event(self, step: int, text: str) -> None:
        """Log a sentence about the run, such as a change of its config, as the field "event" of a line."""
        with self._disk_full_as_input_error():
            _append(self._log, json.dumps({"step": step, "wall_time": time.time(), "event": text}).encode() + b"\n")

    def write_image(self, step: int, name: str, picture: UInt8[np.ndarray, "h w 3"]) -> None:
        """Log an image, also as `pictures/NAME_STEP.png`."""
        png = io.BytesIO()
        Image.fromarray(picture).save(png, "png")
        height, width, channels = picture.shape
        image = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=png.getvalue())
        with self._disk_full_as_input_error():
            write_atomically(self._workdir / "pictures" / f"{name}_{step:08d}.png", png.getvalue())
            self._event(step, summary=Summary(value=[Summary.Value(tag=name, image=image)]))

    def close(self) -> None:
        """Close the files; leaving the context does it, too."""
        with self._disk_full_as_input_error():
            self._files.close()

    def __enter__(self) -> "MetricWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _event(self, step: int, **content: Any) -> None:
        """Append a record: length, checksum of the length, event, checksum of the event."""
        event = Event(wall_time=time.time(), step=step, **content).SerializeToString()
        length = struct.pack("<Q", len(event))
        checks = [struct.pack("<I", masked_crc32c(part)) for part in (length, event)]
        _append(self._events, length + checks[0] + event + checks[1])

    @contextlib.contextmanager
    def _disk_full_as_input_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise InputError(f"no space left in {self._workdir}: free some and start the same command again") from error


class NullWriter(MetricWriter):
    """Writes nothing; for all processes but the main one."""

    def __init__(self) -> None:
        pass

    def write_scalars(self, step: int, values: Mapping[str, Any]) -> None:
        pass

    def write_event(self, step: int, text: str) -> None:
        pass

    def write_image(self, step: int, name: str, picture: UInt8[np.ndarray, "h w 3"]) -> None:
        pass

    def close(self) -> None:
        pass


class Mark(NamedTuple):
    """A point in time: `seconds` of the clock, and the seconds spent waiting for photographs until then."""

    seconds: float
    data_wait: float


class MetricLogger:
    """Averages the scalars of the steps and reports them, with speed and time left, every `run.log_every` steps.

    The speed is counted between the times at which two steps were dispatched, not between those at which their scalars
    arrive: the scalars of a step arrive after the next step is dispatched, which on some devices waits until that one
    is computed, but those of the step before a checkpoint arrive at once. Every interval then has one wait for
    photographs and one computation per step. It starts after the first step, which includes compilation.
    """

    def __init__(self, config: Config, writer: MetricWriter) -> None:
        self._config = config
        self._writer = writer
        self._values: dict[str, list[float]] = defaultdict(list)
        self._data_wait = 0.0  # seconds since the start
        self._marks: dict[int, Mark] = {}  # of the last two dispatched steps: the scalars of both may be missing
        self._since: tuple[int, Mark] | None = None  # the step from which speed counts

    def add_data_wait(self, seconds: float) -> None:
        """Add time spent waiting for photographs."""
        self._data_wait += seconds

    def add_event(self, step: int, text: str) -> None:
        """Log a sentence about the run."""
        log.warning("%s", text)
        self._writer.write_event(step, text)

    def mark_dispatched(self, step: int) -> None:
        """Note the time: `step` is dispatched, and every step before it is computed."""
        self._marks[step] = Mark(time.monotonic(), self._data_wait)
        self._marks.pop(step - 2, None)
        if self._since is None:
            self._since = step, self._marks[step]

    def add(self, step: int, values: dict[str, float]) -> None:
        """Add the scalars of a step that is dispatched."""
        for name, value in values.items():
            self._values[name].append(value)
        if step % self._config.run.log_every == 0:
            self._report(step)

    def _report(self, step: int) -> None:
        means = {name: sum(values) / len(values) for name, values in self._values.items()}
        means["learning_rate"] = float(learning_rate_schedule(self._config)(step - 1))
        self._values.clear()
        assert self._since is not None  # `mark_dispatched` has set it
        (last_step, last), now = self._since, self._marks[step]
        line = f"step {step}/{self._config.total_steps}"
        if step > last_step:
            speed = (step - last_step) / (now.seconds - last.seconds)
            data_wait = (now.data_wait - last.data_wait) / (now.seconds - last.seconds)
            means |= {"speed/steps_per_second": speed, "speed/data_wait": data_wait}
            line += f"  {speed:.2f} steps/s  data wait {data_wait:.1%}"
            line += f"  left {duration((self._config.total_steps - step) / speed)}"
        losses = {name.removesuffix("/total"): mean for name, mean in means.items() if name.endswith("/total")}
        terms = "  ".join(f"{network} {loss:.4f}" for network, loss in losses.items())
        log.info("%s  %s", line, terms)
        self._writer.write_scalars(step, means)
        self._since = step, now


def duration(seconds: float) -> str:
    """Return the time as 2:05, 3:02:05 or 4d 3h."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24}d {hours % 24}h"
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


def _append(file: io.FileIO, content: bytes) -> None:
    """Write all of `content`: a single write may take only a part of it when the disk is nearly full."""
    while content:
        content = content[file.write(content):]


def _drop_lines_after(step: int, log: Path) -> None:
    """Drop the lines of later steps, and an incomplete last line, as a crash leaves it. Raises InputError."""
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
                raise InputError(f"{log}, line {number}: not JSON: fix the line or move the file away") from None
    write_atomically(log, b"".join(kept))
