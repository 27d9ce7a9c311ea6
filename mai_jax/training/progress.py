"""What a run says while it goes: means of the scalars, speed, time left."""

import logging
import time
from collections import defaultdict

from mai_jax.config import Config
from mai_jax.logbook import Logbook

log = logging.getLogger(__name__)


class Progress:
    """Takes the scalars of each step, and reports their means."""

    def __init__(self, config: Config, logbook: Logbook) -> None:
        self.config = config
        self.logbook = logbook
        self._values: dict[str, list[float]] = defaultdict(list)
        self._waited = 0.0  # seconds spent waiting for data since the last report
        self._since: tuple[int, float] | None = None  # (step, time) of the last report

    def waited(self, seconds: float) -> None:
        """Notes time spent waiting for photographs."""
        self._waited += seconds

    def note(self, step: int, values: dict[str, float]) -> None:
        """Notes what `step` found."""
        for name, value in values.items():
            self._values[name].append(value)
        if self._since is None:
            self._since = step, time.monotonic()  # speed counts from here: the first step includes compilation
            self._waited = 0.0
        if step % self.config.run.log_every == 0:
            self._report(step)

    def _report(self, step: int) -> None:
        means = {name: sum(values) / len(values) for name, values in self._values.items()}
        self._values.clear()
        (last_step, last_time), now = self._since, time.monotonic()
        line = f"step {step}/{self.config.total_steps}"
        if step > last_step:
            speed = (step - last_step) / (now - last_time)
            data_wait = self._waited / (now - last_time)
            means |= {"speed/steps_per_second": speed, "speed/data_wait": data_wait}
            line += f"  {speed:.2f} steps/s  data wait {data_wait:.1%}"
            line += f"  left {duration((self.config.total_steps - step) / speed)}"
        losses = {name.removesuffix("/total"): mean for name, mean in means.items() if name.endswith("/total")}
        terms = "  ".join(f"{player} {loss:.4f}" for player, loss in losses.items())
        log.info("%s  %s", line, terms)
        self.logbook.scalars(step, means)
        self._since, self._waited = (step, now), 0.0


def duration(seconds: float) -> str:
    """As 2:05, 3:02:05 or 4d 3h."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24}d {hours % 24}h"
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"
