"""A trace of a few steps, to see where their time goes: open it with TensorBoard's profile plugin or Perfetto."""

import logging
from pathlib import Path

import jax

AFTER = 10  # steps that run before: the first ones compile and fill caches

log = logging.getLogger(__name__)


class Profile:
    """Writes a trace of `steps` steps to <workdir>/profile, once, soon after the start; 0 steps write none."""

    def __init__(self, steps: int, workdir: Path) -> None:
        self._steps = steps
        self._folder = workdir / "profile"
        self._done = 0

    def note(self, logs: dict[str, jax.Array]) -> None:
        """To be called after every step with what it returned."""
        self._done += 1
        if self._steps and self._done == AFTER:
            jax.block_until_ready(logs)
            jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
        if self._steps and self._done == AFTER + self._steps:
            jax.block_until_ready(logs)
            self.close()

    def close(self) -> None:
        """Ends the trace, if one is being written."""
        if self._steps and self._done >= AFTER:
            jax.profiler.stop_trace()
            log.info("trace of %d steps: %s", self._done - AFTER, self._folder)
        self._steps = 0
