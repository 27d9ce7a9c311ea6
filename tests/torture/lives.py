"""The real `python train.py`, started and ended as a user, a cluster or a power cut would, and what must be left."""

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

from mai_jax import checkpoint
from mai_jax import config as config_lib
from mai_jax.config import Config
from mai_jax.models import MODELS
from mai_jax.training import state as state_lib
from mai_jax.types import RunError
from tests.cheap_compilation import environment
from tests.real_runs import ROOT, TINY, compiled_once, free_port, logged

SAVE_EVERY = 20
HUNG = 900.0  # seconds after which a run that should end counts as hung; the machine may be busy
POLL = 0.02
STEP = re.compile(rb"^step (\d+)/", re.MULTILINE)
Phases = tuple[int, int]  # steps of "train" and of "finetune"


class Life:
    """One start of the command. Leaving the context ends it, if it is still going."""

    def __init__(self, command: Sequence[str], env: dict[str, str], output: Path) -> None:
        self._output = output
        self.began = time.monotonic()
        with output.open("wb") as file:
            self.process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=file, stderr=subprocess.STDOUT)

    def __enter__(self) -> "Life":
        return self

    def __exit__(self, *exception: object) -> None:
        if self.going:
            self.process.kill()
        self.process.wait()

    @property
    def going(self) -> bool:
        return self.process.poll() is None

    @property
    def said(self) -> str:
        return self._output.read_text(errors="replace")

    @property
    def step(self) -> int:
        """The last step that it has named, 0 if none."""
        with self._output.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            found = STEP.findall(file.read())
        return int(found[-1]) if found else 0

    @property
    def resident(self) -> int | None:
        """Bytes in memory. None where the system does not tell, and after the end."""
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return None
        return pages * os.sysconf("SC_PAGE_SIZE")

    def wait_for(self, *, step: int = 0, words: str = "") -> bool:
        """Until it has named that step and said those words. False if it ends, or hangs, before."""
        end = time.monotonic() + HUNG
        while self.step < step or words not in self.said:
            if not self.going or time.monotonic() > end:
                return False
            time.sleep(POLL)
        return True

    def for_seconds(self, seconds: float) -> float | None:
        """Lets it go on until it is that old, or ends. The age at which it named its first step, if it did."""
        first = None
        while self.going and time.monotonic() < self.began + seconds:
            if first is None and self.step:
                first = time.monotonic() - self.began
            time.sleep(POLL)
        return first

    def end(self, sent: signal.Signals | None = None) -> int | None:
        """Its exit code, after that signal if one is given. None if it hangs."""
        if sent is not None:
            self.process.send_signal(sent)
        try:
            return self.process.wait(HUNG)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return None


class Scene:
    """A folder for many runs, the programs that they share, and the uninterrupted runs that they must equal."""

    def __init__(self, scratch: Path, steps: int) -> None:
        self.scratch = scratch
        self.cache = scratch / "compiled"
        self.long: Phases = (steps * 3 // 10, steps - steps * 3 // 10)
        self.short: Phases = (3 * SAVE_EVERY, 0)
        self.finished: dict[Phases, Path] = {}
        self._count = 0

    def fresh(self) -> Path:
        """Where nothing is yet."""
        self._count += 1
        return self.scratch / f"{self._count:04}"

    def life(
        self, workdir: Path, phases: Phases, *flags: str, devices: int = 1, program: Sequence[str] = ("train.py",),
        cache: Path | None = None,
    ) -> Life:  # fmt: skip
        """The command on `devices` fake devices; `program` are the words between python and the flags."""
        train, finetune = phases
        own = ("--config.batch_size=8", f"--config.run.save_every={SAVE_EVERY}", f"--config.train.steps={train}",
               f"--config.finetune.steps={finetune}", f"--workdir={workdir}")  # fmt: skip
        env = compiled_once(environment(devices), cache or self.cache) | {"JAX_PLATFORMS": "cpu"}
        return Life([sys.executable, *program, *TINY, *own, *flags], env, self.fresh().with_suffix(".txt"))

    def together(self, workdir: Path, phases: Phases, processes: int, devices: int) -> list[Life]:
        """The command as several processes on loopback, with that many devices each."""
        if processes == 1:
            return [self.life(workdir, phases, devices=devices)]
        joining = (f"--coordinator=localhost:{free_port()}", f"--processes={processes}")
        return [self.life(workdir, phases, *joining, f"--process={index}", devices=devices)
                for index in range(processes)]

    def uninterrupted(self, phases: Phases) -> Path:
        """The folder of a finished run, done once."""
        if phases not in self.finished:
            workdir = self.fresh()
            with self.life(workdir, phases) as life:
                if life.end() != 0:
                    raise SystemExit(f"an uninterrupted run did not end well:\n{self.plain(life.said)}")
            self.finished[phases] = workdir
        return self.finished[phases]

    def not_as_uninterrupted(self, workdir: Path, phases: Phases) -> list[str]:
        """Empty if a finished run has the same end, to the bit: arrays by checksum, config, every logged scalar."""
        reference, found = self.uninterrupted(phases), []
        if checkpoint.Reader(workdir).meta != checkpoint.Reader(reference).meta:
            found.append("the last checkpoint differs from that of the uninterrupted run")
        if logged(workdir) != logged(reference):
            found.append("the log differs from that of the uninterrupted run")
        return found + unreadable(workdir)

    def plain(self, said: str) -> str:
        """Without the names of this machine's folders."""
        return said.replace(f"{self.scratch}/", "")


def shapes(config: Config) -> dict[str, Any]:
    """The abstract items of a checkpoint."""
    return _shapes(json.dumps(config_lib.to_dict(config)))


@functools.cache
def _shapes(config: str) -> dict[str, Any]:
    read = config_lib.from_dict(json.loads(config))
    model = MODELS[read.method](read)
    return jax.eval_shape(lambda: state_lib.items(state_lib.fresh(model, read)))


def unreadable(workdir: Path) -> list[str]:
    """What is wrong with the checkpoints in a folder: each is read whole, and compared with its checksums."""
    found = []
    for step in checkpoint.steps(workdir):
        try:
            reader = checkpoint.Reader(workdir, step)
            for item, like in shapes(reader.config).items():
                reader.read(item, like)
        except RunError as error:
            found.append(str(error))
    return found
