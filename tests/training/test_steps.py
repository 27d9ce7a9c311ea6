"""A step whose numbers are not finite changes nothing, is kept for replay, and is found again there."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from mai_jax.config import Adam, Config, Phase, Run
from mai_jax.data.holes import Hiding
from mai_jax.models import MODELS
from mai_jax.models.base import Aux
from mai_jax.training import state as state_lib
from mai_jax.training.failures import Diverged, Failures
from mai_jax.training.progress import Progress
from mai_jax.training.replay import read, replay
from mai_jax.training.step import compile_step, data_mesh
from mai_jax.training.steps import Steps
from mai_jax.types import InputError

CONFIG = Config(method="toy", image_size=32, batch_size=2, train=Phase(steps=5), finetune=Phase(steps=5),
                run=Run(failures=3))  # fmt: skip


class Toy:
    """The brightest pixel of a batch is divided by zero if it is white."""

    players = ("generator",)
    adam = {"generator": Adam()}  # noqa: RUF012

    def __init__(self, config, phase="train"):
        self.weight = {"train": 1.0, "finetune": 2.0}[phase]

    def prepare(self):
        pass

    def init(self, key, batch):
        return {"generator": {"w": jax.random.normal(key, (3,))}}, {"generator": {"seen": jnp.zeros(())}}

    def paint(self, params, stats, batch, key):
        raise NotImplementedError

    def loss(self, player, params, stats, batch, outputs, key):
        brightness = batch.image.max()
        noise = jax.random.normal(key, (3,)) + batch.known.mean()
        total = self.weight * ((params[player]["w"] - noise) ** 2).sum() / (brightness < 1)
        return total, Aux({}, {"seen": stats[player]["seen"] + total}, {"brightness": brightness})


def draw(bank, key, n):
    return jax.random.bernoulli(key, 0.5, (n, 32, 32, 1)).astype(jnp.float32)


class Photographs:
    def __len__(self):
        return 20

    def __getitem__(self, i):
        return {"id": f"{i}.png", "bytes": b""}

    def __repr__(self):
        return "Photographs()"


class Noted(Progress):
    """Keeps the numbers of the steps instead of reporting."""

    def __init__(self):
        self.steps = []

    def note(self, step, values):
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
    """Steps on batches 1, 2, ..., as the loop does them; (Steps, what was noted)."""
    mesh, noted, hiding = data_mesh(jax.devices()[:1]), Noted(), Hiding((), draw)
    state = state_lib.create(Toy(CONFIG), CONFIG)
    steps = Steps(state, (), noted, Failures(CONFIG, workdir, Photographs(), hiding))
    steps.compiled = compile_step(Toy(CONFIG), CONFIG, draw, mesh)
    for number, bad in enumerate(which_are_bad, 1):
        steps.do(jax.device_put(images(number, bad=bad), jax.NamedSharding(mesh, jax.P("data"))))
    steps.settle()
    return steps, noted


def plain(which_are_bad):
    """The same without the class: the good steps one by one, the others left out."""
    step = compile_step(Toy(CONFIG), CONFIG, draw, data_mesh(jax.devices()[:1]))
    state = state_lib.create(Toy(CONFIG), CONFIG)
    for number, bad in enumerate(which_are_bad, 1):
        if bad:
            state = state.replace(step=state.step + 1)
        else:
            state, _ = step(state, images(number, bad=False), ())
    return state


@pytest.mark.parametrize("bad", ["0010", "1000", "0001", "0110", "110011", "0000"])
def test_a_failed_step_is_left_out_and_all_others_are_done(bad, tmp_path):
    which = [letter == "1" for letter in bad]
    steps, noted = run(tmp_path, which)
    assert noted.steps == [number for number, failed in enumerate(which, 1) if not failed]
    assert steps.done == int(steps.state.step) == len(which) and not steps.state.failed
    for ours, wanted in zip(*map(jax.tree.leaves, (state_lib.items(steps.state), state_lib.items(plain(which)))),
                            strict=True):  # fmt: skip
        assert np.isfinite(ours).all()
        np.testing.assert_array_equal(ours, wanted)


def test_too_many_in_a_row_end_the_run(tmp_path):
    with pytest.raises(Diverged, match=r"^step 6: generator/total is inf, as the 2 steps before it$"):
        run(tmp_path, [True, True, False, True, True, True])


def test_what_failed_is_kept_and_fails_again(tmp_path):
    run(tmp_path, [False, False, True, True, False])
    (path,) = (tmp_path / "failures").iterdir()  # the first of the row: the next one had the same parameters
    failure = read(path)
    assert failure.step == 3 and failure.config == CONFIG
    assert len(failure.ids) == 2 and all(name.endswith(".png") for name in failure.ids)
    before = plain([False, False])
    for saved, wanted in zip(*map(jax.tree.leaves, (failure.state.params, before.params)), strict=True):
        np.testing.assert_array_equal(saved, wanted)
    np.testing.assert_array_equal(failure.images, images(3, bad=True))
    step = compile_step(Toy(CONFIG), CONFIG, draw, data_mesh(jax.devices()[:1]))
    _, logs = step(before, images(3, bad=True), ())
    assert failure.terms["hole_ratio"] == logs["hole_ratio"] == 1 - failure.known.mean()
    assert replay(path)


def test_a_replay_says_when_the_failure_does_not_come_back(tmp_path, monkeypatch):
    run(tmp_path, [True, False])
    monkeypatch.setattr(Toy, "loss", lambda self, player, params, stats, *_: (
        (params[player]["w"] ** 2).sum(), Aux({}, stats[player], {})))
    assert not replay(tmp_path / "failures" / "1.safetensors")


def test_only_the_newest_failures_stay(tmp_path):
    run(tmp_path, [True, False] * 5)
    assert sorted(path.stem for path in (tmp_path / "failures").iterdir()) == ["5", "7", "9"]


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\x08\0\0\0\0\0\0\0{}      "])
def test_what_no_failed_step_left_is_refused(content, tmp_path):
    path = tmp_path / "1.safetensors"
    with pytest.raises(InputError, match="no such file"):
        read(path)
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a file that a failed step left"):
        read(path)


@pytest.mark.parametrize("step", ["0", "11", "-1"])
def test_a_step_that_no_run_does_is_refused(step, tmp_path):
    run(tmp_path, [True, False])
    path = tmp_path / "failures" / "1.safetensors"
    path.write_bytes(with_metadata(path.read_bytes(), lambda about: about | {"step": step}))
    with pytest.raises(InputError, match=f"step {step} of 10"):
        read(path)


def with_metadata(content, change):
    tensors = safetensors.numpy.load(content)
    size = int.from_bytes(content[:8], "little")
    about = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["mai_jax"])
    return safetensors.numpy.save(tensors, metadata={"mai_jax": json.dumps(change(about))})
