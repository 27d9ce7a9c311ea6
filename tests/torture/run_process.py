"""Processes of the real `python train.py` for tests that interrupt them, and checks of what they leave."""

import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from mai_jax import config as config_lib
from mai_jax.config import Config
from mai_jax.errors import RunError
from mai_jax.models import model_class
from mai_jax.training import checkpointing, train_state
from tests.cheap_compilation import environment
from tests.image_io.photo_files import saved
from tests.real_runs import ROOT, TINY, free_port, logged, with_compilation_cache
from tests.torture.seed_collections import zipped

SAVE_EVERY = 20
TIMEOUT = 900.0  # seconds after which a run that should end counts as hung; long, because the machine may be busy
POLL = 0.02  # seconds
STEP = re.compile(rb"^step (\d+)/", re.MULTILINE)
Phases = tuple[int, int]  # steps of "main" and of "finetune"


class RunProcess:
    """One process of the command. Leaving the context kills it if it is still running."""

    def __init__(self, command: Sequence[str], env: dict[str, str], output: Path) -> None:
        self._output = output
        self.started = time.monotonic()
        with output.open("wb") as file:
            self.popen = subprocess.Popen(command, cwd=ROOT, env=env, stdout=file, stderr=subprocess.STDOUT)

    def __enter__(self) -> "RunProcess":
        return self

    def __exit__(self, *exception: object) -> None:
        if self.running:
            self.popen.kill()
        self.popen.wait()

    @property
    def running(self) -> bool:
        return self.popen.poll() is None

    @property
    def text(self) -> str:
        """The output so far."""
        return self._output.read_text(errors="replace")

    @property
    def step(self) -> int:
        """The last step in the output, 0 if none."""
        with self._output.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            found = STEP.findall(file.read())
        return int(found[-1]) if found else 0

    @property
    def resident(self) -> int | None:
        """Resident memory in bytes. None if the system does not report it, and after the end."""
        try:
            pages = int(Path(f"/proc/{self.popen.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return None
        return pages * os.sysconf("SC_PAGE_SIZE")

    def wait_for(self, *, step: int = 0, words: str = "") -> bool:
        """Wait until the output has that step and those words. Return False if the process ends or hangs before."""
        deadline = time.monotonic() + TIMEOUT
        while self.step < step or words not in self.text:
            if not self.running or time.monotonic() > deadline:
                return False
            time.sleep(POLL)
        return True

    def wait_until_age(self, seconds: float) -> float | None:
        """Wait until the process is that old or ends. Return its age at the first step in the output, or None."""
        first = None
        while self.running and time.monotonic() < self.started + seconds:
            if first is None and self.step:
                first = time.monotonic() - self.started
            time.sleep(POLL)
        return first

    def end(self, sent: signal.Signals | None = None) -> int | None:
        """Send the signal, if one is given, and wait. Return the exit code, None if the process hangs."""
        if sent is not None:
            self.popen.send_signal(sent)
        try:
            return self.popen.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return None


class Workspace:
    """A folder for many runs, their shared compiled programs, and the uninterrupted runs that they must equal.

    All of them get the flags `common`.
    """

    def __init__(self, scratch: Path, steps: int, common: Sequence[str] = ()) -> None:
        self.scratch = scratch
        self.common = common
        self.cache = scratch / "compiled"
        self.long: Phases = (steps * 3 // 10, steps - steps * 3 // 10)
        self.short: Phases = (3 * SAVE_EVERY, 0)
        self.finished: dict[Phases, Path] = {}
        self._count = 0

    def new_folder(self) -> Path:
        """Return the path of a folder that does not exist yet."""
        self._count += 1
        return self.scratch / f"{self._count:04}"

    def start(
        self, workdir: Path, phases: Phases, *flags: str, devices: int = 1, program: Sequence[str] = ("train.py",),
        cache: Path | None = None,
    ) -> RunProcess:  # fmt: skip
        """Start the command on `devices` fake devices; `program` are the arguments between python and the flags."""
        main, finetune = phases
        own = ("--config.batch_size=8", f"--config.run.save_every={SAVE_EVERY}", f"--config.main_phase.steps={main}",
               f"--config.finetune_phase.steps={finetune}", f"--workdir={workdir}")  # fmt: skip
        env = with_compilation_cache(environment(devices), cache or self.cache) | {"JAX_PLATFORMS": "cpu"}
        command = [sys.executable, *program, *TINY, *self.common, *own, *flags]
        return RunProcess(command, env, self.new_folder().with_suffix(".txt"))

    def start_all(self, workdir: Path, phases: Phases, processes: int, devices: int) -> list[RunProcess]:
        """Start the command as several processes on loopback, with that many devices each."""
        if processes == 1:
            return [self.start(workdir, phases, devices=devices)]
        cluster = (f"--coordinator=localhost:{free_port()}", f"--processes={processes}")
        return [self.start(workdir, phases, *cluster, f"--process={index}", devices=devices)
                for index in range(processes)]

    def uninterrupted(self, phases: Phases) -> Path:
        """Return the folder of a finished run, which is run once."""
        if phases not in self.finished:
            workdir = self.new_folder()
            with self.start(workdir, phases) as process:
                if process.end() != 0:
                    raise SystemExit(f"an uninterrupted run failed:\n{self.without_paths(process.text)}")
            self.finished[phases] = workdir
        return self.finished[phases]

    def differences(self, workdir: Path, phases: Phases) -> list[str]:
        """Return differences of a finished run from the uninterrupted one: checksums, config, every logged scalar.

        Events are compared without their steps: an unreadable photograph is named when it is read, ahead of its step.
        """
        reference, found = self.uninterrupted(phases), []
        if checkpointing.CheckpointReader(workdir).meta != checkpointing.CheckpointReader(reference).meta:
            found.append("the last checkpoint differs from that of the uninterrupted run")
        if _events_apart(logged(workdir)) != _events_apart(logged(reference)):
            found.append("the log differs from that of the uninterrupted run")
        return found + unreadable(workdir)

    def without_paths(self, text: str) -> str:
        """Return the text without the path of the scratch folder."""
        return text.replace(f"{self.scratch}/", "")


def archive_of_noise(path: Path) -> list[str]:
    """Write a .zip of photographs, one of which is unreadable; return the flags of a training on it that skips it."""
    rng = np.random.default_rng(0)
    files = {f"{i:02}.png": saved(Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)), "PNG")
             for i in range(24)}  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zipped(files | {"07.png": b"no image"}))
    return [f"--config.data.train={path}", "--config.data.test=sample_photos", "--config.data.unreadable=skip"]


def _events_apart(lines: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    return ([line for line in lines if "event" not in line], [line["event"] for line in lines if "event" in line])


def shapes(config: Config) -> dict[str, Any]:
    """Return the abstract items of a checkpoint."""
    return _shapes(json.dumps(config_lib.to_dict(config)))


@functools.cache
def _shapes(config: str) -> dict[str, Any]:
    parsed = config_lib.from_dict(json.loads(config))
    model = model_class(parsed.method)(parsed)
    return jax.eval_shape(lambda: train_state.checkpoint_items(train_state.init_state(model, parsed)))


def unreadable(workdir: Path) -> list[str]:
    """Return the errors of reading all checkpoints of a folder completely, with their checksums."""
    found = []
    for step in checkpointing.steps(workdir):
        try:
            reader = checkpointing.CheckpointReader(workdir, step)
            for item, like in shapes(reader.config).items():
                reader.read(item, like)
        except RunError as error:
            found.append(str(error))
    return found
