"""One step after the other: what each has found is looked at while the device computes the next."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from mai_jax.training.failures import Failures
from mai_jax.training.progress import Progress
from mai_jax.training.state import State
from mai_jax.training.step import Logs


class Steps:
    """Holds the state and moves it. `compiled` is the step of the phase that is going on, see `compile_step`.

    A step whose numbers are not finite is noted and left out: the run goes on with the batch after it.
    """

    def __init__(self, state: State, bank: Any, progress: Progress, failures: Failures) -> None:
        self.state = state
        self.done = int(state.step)  # steps that the device has been told to do
        self.compiled: Callable[..., tuple[State, Logs]]
        self._bank = bank
        self._progress = progress
        self._failures = failures
        self._pending: tuple[int, jax.Array, Logs] | None = None

    def do(self, images: jax.Array) -> Logs:
        """One more step, and its scalars, still being computed. Raises Diverged."""
        self.state, logs = self.compiled(self.state, images, self._bank)
        if not self.settle():  # then this one has not moved the state either
            self.state, logs = self.compiled(self.state, images, self._bank)
        self.done += 1
        self._pending = self.done, images, logs
        return logs

    def settle(self) -> bool:
        """Waits for the last step that has been looked forward to: was it applied? Raises Diverged."""
        if self._pending is None:
            return True
        (step, images, logs), self._pending = self._pending, None
        values = {name: float(value) for name, value in jax.device_get(logs).items()}
        if values.pop("finite"):
            self._failures.over()
            self._progress.note(step, values)
            return True
        self._failures.note(step, values, images, self.state)
        cleared = jax.device_put((jnp.int32(step), jnp.zeros((), bool)), self.state.step.sharding)
        self.state = self.state.replace(step=cleared[0], failed=cleared[1])
        return False
