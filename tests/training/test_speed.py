"""The logged speed and wait for data, on a clock that the test sets, for devices that compute in both ways."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax.config import Config, Phase, Run
from mai_jax.training import metric_writer, trainer
from mai_jax.training.metric_writer import MetricLogger, MetricWriter
from mai_jax.training.nonfinite import NonfiniteSteps
from mai_jax.training.train_state import TrainState
from mai_jax.training.train_step import data_mesh

COMPILE, COMPUTE, WAIT = 100.0, 2.0, 0.5  # seconds
EMPTY = jnp.zeros((), jnp.int32)


class Clock:
    """Time of the test, and the time at which the device will have computed all that was dispatched."""

    def __init__(self):
        self.now = self.device = 0.0

    def monotonic(self):
        return self.now

    def time(self):
        return self.now


class Device:
    """A training step that takes COMPUTE seconds, and COMPILE more for the first.

    `asynchronous`: the call returns at once, and the time passes when the scalars are fetched.
    """

    def __init__(self, clock, *, asynchronous):
        self.clock, self.asynchronous, self.steps = clock, asynchronous, 0

    def train_step(self, state, images, mask_bank):
        if self.steps == 0:
            self.clock.now += COMPILE
        self.steps += 1
        self.clock.device = max(self.clock.device, self.clock.now) + COMPUTE
        if not self.asynchronous:
            self.clock.now = self.clock.device
        return state, {"finite": jnp.float32(self.clock.device), "generator/total": jnp.float32(1)}

    def fetch(self, logs):
        self.clock.now = max(self.clock.now, float(logs["finite"]))
        return {"finite": 1.0, "generator/total": 1.0}


class AlwaysFinite(NonfiniteSteps):
    def __init__(self):
        pass

    def reset(self):
        pass


class Records(MetricWriter):
    def __init__(self):
        self.lines = {}

    def write_scalars(self, step, values):
        self.lines[step] = dict(values)


@pytest.fixture
def speeds(monkeypatch):
    """Return a function that runs steps and returns what was logged, by step."""
    def logged(steps, log_every, *, asynchronous, finish_after=()):
        clock, records = Clock(), Records()
        device = Device(clock, asynchronous=asynchronous)
        for module in (metric_writer, trainer):
            monkeypatch.setattr(module, "time", clock)
        monkeypatch.setattr(trainer.jax, "device_get", device.fetch)
        config = Config(main_phase=Phase(steps=steps), run=Run(log_every=log_every))
        state = TrainState(EMPTY, {}, {}, {}, jax.random.key(0), jnp.zeros((), bool))
        loop = trainer.Trainer(config, state, data_mesh(jax.devices()[:1]), (), MetricLogger(config, records),
                               AlwaysFinite())

        def batches():
            while True:
                clock.now += WAIT
                yield np.zeros((1, 1, 1, 3), np.uint8)

        photographs = batches()
        for step in range(1, steps + 1):
            loop.run_step(device.train_step, loop.next_images(photographs))
            if step in finish_after:  # as before a checkpoint
                loop.finish_step()
        loop.finish_step()
        return records.lines

    return logged


@pytest.mark.parametrize("asynchronous", [True, False])
@pytest.mark.parametrize(("steps", "log_every", "finish_after"), [
    (2, 2, ()), (2, 1, ()), (3, 3, (3,)), (8, 2, (2, 4, 8)), (8, 4, (5,)), (40, 20, ()),
])  # fmt: skip
def test_no_interval_is_faster_than_the_device(speeds, asynchronous, steps, log_every, finish_after):
    """A step takes COMPUTE seconds, and up to WAIT more if the device idles while photographs are read."""
    lines = speeds(steps, log_every, asynchronous=asynchronous, finish_after=finish_after)
    measured = {step: line["speed/steps_per_second"] for step, line in lines.items() if step > 1}
    assert list(measured) == [step for step in range(log_every, steps + 1, log_every) if step > 1]
    for speed in measured.values():
        assert 1 / (COMPUTE + WAIT) - 1e-9 <= speed <= 1 / COMPUTE + 1e-9


def test_the_share_of_waiting_is_that_of_the_interval(speeds):
    for line in list(speeds(6, 2, asynchronous=False, finish_after=(4,)).values()):
        assert line["speed/data_wait"] == pytest.approx(WAIT / (COMPUTE + WAIT))


def test_the_first_step_which_compiles_has_no_speed(speeds):
    assert "speed/steps_per_second" not in speeds(2, 1, asynchronous=True)[1]
