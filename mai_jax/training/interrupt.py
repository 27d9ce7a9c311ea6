"""SIGTERM and Ctrl-C become a wish that the loop grants between two steps, the same two in every process."""

import os
import signal
from types import FrameType, TracebackType

from jax.experimental import multihost_utils

from mai_jax.training import processes


class Interrupt:
    """While entered, the first SIGTERM or SIGINT is noted; a second Ctrl-C breaks off at once.

    `received` is the signal once `wanted` has granted it. Where there are other processes JAX listens to SIGTERM and
    agrees with them on a step; so a SIGINT is passed on as one.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._noted: signal.Signals | None = None
        self._many = processes.many()
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> "Interrupt":
        for number in (signal.SIGINT,) if self._many else (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wanted(self, step: int) -> bool:
        """Whether to end after `step`; to be asked at every step."""
        if not self._many:
            self.received = self._noted
        elif multihost_utils.reached_preemption_sync_point(step):
            self.received = self._noted or signal.SIGTERM
        return self.received is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._noted == signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        if self._noted is None and self._many:
            os.kill(os.getpid(), signal.SIGTERM)
        self._noted = self._noted or signal.Signals(number)
