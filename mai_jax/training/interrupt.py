"""Signals that end a training early, on all processes after the same step."""

import os
import signal
from types import FrameType, TracebackType
from typing import Any

from jax.experimental import multihost_utils

from mai_jax.training import distributed


class Interrupt:
    """While entered, notes the first SIGTERM or SIGINT, on which the loop stops; a second Ctrl-C aborts at once.

    With several processes JAX handles SIGTERM and agrees on one step for all of them, so a SIGINT is forwarded as
    SIGTERM. `received` is the signal, once `requested` has returned True.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._noted: signal.Signals | None = None
        self._distributed = distributed.is_distributed()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupt":
        for number in (signal.SIGINT,) if self._distributed else (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def requested(self, step: int) -> bool:
        """Return whether to stop after `step`. With several processes, all of them must call it at every step."""
        if not self._distributed:
            self.received = self._noted
        elif multihost_utils.reached_preemption_sync_point(step):
            self.received = self._noted or signal.SIGTERM
        return self.received is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._noted == signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        if self._noted is None and self._distributed:
            os.kill(os.getpid(), signal.SIGTERM)
        self._noted = self._noted or signal.Signals(number)
