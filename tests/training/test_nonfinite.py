"""A step with values that are not finite changes nothing and is recorded; its replay fails again."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from mai_jax.config import Adam, Config, Phase, Run
from mai_jax.data.hole_sampler import HoleSampler
from mai_jax.errors import InputError
from mai_jax.models import MODELS
from mai_jax.models.base import Aux, adam
from mai_jax.training import train_state
from mai_jax.training.metric_writer import MetricLogger
from mai_jax.training.nonfinite import Diverged, NonfiniteSteps, read, replay
from mai_jax.training.train_step import data_mesh, make_train_step
from mai_jax.training.trainer import Trainer

CONFIG = Config(method="toy", image_size=32, batch_size=2, main_phase=Phase(steps=5), finetune_phase=Phase(steps=5),
                run=Run(max_nonfinite_steps=3))  # fmt: skip


class Toy:
    """A model whose loss is infinite if a batch has a white pixel."""

    networks = ("generator",)

    def __init__(self, config, phase="main"):
        self.weight = {"main": 1.0, "finetune": 2.0}[phase]

    def prepare(self):
        pass

    def make_optimizers(self, schedule):
        return {"generator": adam(Adam(), schedule)}

    def init(self, rng, batch):
        return {"params": {"generator": {"w": jax.random.normal(rng, (3,))}},
                "batch_stats": {"generator": {"sum": jnp.zeros(())}}}

    def predict(self, variables, batch, rng):
        raise NotImplementedError

    def loss(self, network, params, batch_stats, batch, outputs, rng):
        brightness = batch.image.max()
        noise = jax.random.normal(rng, (3,)) + batch.valid.mean()
        total = self.weight * ((params[network]["w"] - noise) ** 2).sum() / (brightness < 1)
        return total, Aux({}, {"sum": batch_stats[network]["sum"] + total}, {"brightness": brightness})


def sample_holes(mask_bank, rng, n):
    return jax.random.bernoulli(rng, 0.5, (n, 32, 32, 1)).astype(jnp.float32)


class Photographs:
    def __len__(self):
        return 20

    def __getitem__(self, i):
        return {"id": f"{i}.png", "bytes": b""}

    def __repr__(self):
        return "Photographs()"


class RecordingLogger(MetricLogger):
    """Records the numbers of the steps instead of reporting."""

    def __init__(self):
        self.steps = []

    def mark_dispatched(self, step):
        pass

    def add(self, step, values):
        self.steps.append(step)
        assert all(map(np.isfinite, values.values()))


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.setitem(MODELS, "toy", Toy)


def images(number: int, *, bad: bool) -> jax.Array:
    pixels = np.full((2, 32, 32, 3), number, np.uint8)
    pixels[1, 0, 0, 0] = 255 if bad else 254
    return jnp.asarray(pixels)


def run(workdir, which_are_bad):
    """Run steps on batches 1, 2, ... as the training loop does; return the trainer and its metric logger."""
    mesh, logger, hole_sampler = data_mesh(jax.devices()[:1]), RecordingLogger(), HoleSampler((), sample_holes)
    state = train_state.init_on_devices(Toy(CONFIG), CONFIG)
    trainer = Trainer(CONFIG, state, mesh, (), logger, NonfiniteSteps(CONFIG, workdir, Photographs(), hole_sampler))
    step = make_train_step(Toy(CONFIG), CONFIG, sample_holes, mesh)
    for number, bad in enumerate(which_are_bad, 1):
        trainer.run_step(step, jax.device_put(images(number, bad=bad), jax.NamedSharding(mesh, jax.P("data"))))
    trainer.finish_step()
    return trainer, logger


def reference(which_are_bad):
    """Return the state after the same steps without `Trainer`: bad ones are skipped."""
    step = make_train_step(Toy(CONFIG), CONFIG, sample_holes, data_mesh(jax.devices()[:1]))
    state = train_state.init_on_devices(Toy(CONFIG), CONFIG)
    for number, bad in enumerate(which_are_bad, 1):
        if bad:
            state = state.replace(step=state.step + 1)
        else:
            state, _ = step(state, images(number, bad=False), ())
    return state


@pytest.mark.parametrize("bad", ["0010", "1000", "0001", "0110", "110011", "0000"])
def test_a_failed_step_is_skipped_and_all_others_are_applied(bad, tmp_path):
    which = [letter == "1" for letter in bad]
    trainer, logger = run(tmp_path, which)
    assert logger.steps == [number for number, failed in enumerate(which, 1) if not failed]
    assert trainer.step == int(trainer.state.step) == len(which) and not trainer.state.nonfinite
    both = (train_state.checkpoint_items(state) for state in (trainer.state, reference(which)))
    for actual, expected in zip(*map(jax.tree.leaves, both), strict=True):
        assert np.isfinite(actual).all()
        np.testing.assert_array_equal(actual, expected)


def test_too_many_failed_steps_in_a_row_end_the_run(tmp_path):
    with pytest.raises(Diverged, match=r"^step 6: generator/total is inf, as the 2 steps before it$"):
        run(tmp_path, [True, True, False, True, True, True])


def test_a_failed_step_is_recorded_and_its_replay_fails_again(tmp_path):
    run(tmp_path, [False, False, True, True, False])
    (path,) = (tmp_path / "failures").iterdir()  # only the first of two in a row; the second had the same parameters
    failure = read(path)
    assert failure.step == 3 and failure.config == CONFIG
    assert len(failure.ids) == 2 and all(name.endswith(".png") for name in failure.ids)
    before = reference([False, False])
    for saved, expected in zip(*map(jax.tree.leaves, (failure.state.params, before.params)), strict=True):
        np.testing.assert_array_equal(saved, expected)
    np.testing.assert_array_equal(failure.images, images(3, bad=True))
    step = make_train_step(Toy(CONFIG), CONFIG, sample_holes, data_mesh(jax.devices()[:1]))
    _, logs = step(before, images(3, bad=True), ())
    assert failure.terms["hole_ratio"] == logs["hole_ratio"] == 1 - failure.valid.mean()
    assert replay(path)


def test_a_replay_reports_if_the_step_does_not_fail_again(tmp_path, monkeypatch):
    run(tmp_path, [True, False])
    monkeypatch.setattr(Toy, "loss", lambda self, network, params, batch_stats, *_: (
        (params[network]["w"] ** 2).sum(), Aux({}, batch_stats[network], {})))
    assert not replay(tmp_path / "failures" / "1.safetensors")


def test_only_the_newest_failures_are_kept(tmp_path):
    run(tmp_path, [True, False] * 5)
    assert sorted(path.stem for path in (tmp_path / "failures").iterdir()) == ["5", "7", "9"]


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_file_that_is_not_a_record_is_refused(content, tmp_path):
    path = tmp_path / "1.safetensors"
    with pytest.raises(InputError, match="no such file"):
        read(path)
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a record of a failed step"):
        read(path)


@pytest.mark.parametrize("step", ["0", "11", "-1"])
def test_a_step_out_of_range_is_refused(step, tmp_path):
    run(tmp_path, [True, False])
    path = tmp_path / "failures" / "1.safetensors"
    path.write_bytes(with_metadata(path.read_bytes(), lambda metadata: metadata | {"step": step}))
    with pytest.raises(InputError, match=f"step {step} of 10"):
        read(path)


def with_metadata(content, change):
    tensors = safetensors.numpy.load(content)
    size = int.from_bytes(content[:8], "little")
    metadata = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["mai_jax"])
    return safetensors.numpy.save(tensors, metadata={"mai_jax": json.dumps(change(metadata))})
