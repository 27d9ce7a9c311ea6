"""What the training loop promises holds for every method."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax import checkpoint
from mai_jax.config import PIC, VGG16, Config, Discriminator, Generator, Losses, Phase
from mai_jax.data import holes, sources
from mai_jax.logbook import Logbook
from mai_jax.models import MODELS
from mai_jax.training import resume
from mai_jax.training import state as state_lib
from mai_jax.training.failures import Failures
from mai_jax.training.progress import Progress
from mai_jax.training.step import data_mesh, train_step
from mai_jax.training.steps import Steps

TINY = Config(
    image_size=32, batch_size=2, generator=Generator(width=8, squeeze=4), discriminator=Discriminator(width=4),
    pic=PIC(width=4), losses=Losses(style=0.1, adversarial=0.001), vgg16=VGG16(weights="random", width=4),
    train=Phase(steps=200, learning_rate=4e-3),
)  # fmt: skip


@pytest.mark.parametrize("method", sorted(set(MODELS) - {"pconv_public"}))  # which is never trained from its start
def test_a_run_goes_on_from_the_very_numbers_that_it_ended_with(method, tmp_path):
    """A step is a pure function of the state and its number: the same state goes on bit for bit."""
    config = dataclasses.replace(TINY, method=method)
    model, rng = MODELS[method](config), np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: state_lib.items(state_lib.fresh(model, config)))
    items = jax.tree.map(lambda leaf: jnp.asarray(rng.integers(1, 1000, leaf.shape) / 7, leaf.dtype), shapes)
    state = state_lib.restored(items, 7, config)
    hiding, source = holes.sampler("drawn", config.holes, 32), sources.open_source(config.data, "train")
    with checkpoint.Writer(tmp_path, keep=1) as writer, Logbook(tmp_path, step=7) as logbook:
        steps = Steps(state, (), Progress(config, logbook), Failures(config, tmp_path, source, hiding))
        saver = resume.Saver(config, tmp_path, steps, writer)
        saver._at = 0
        saver.save()
        writer.wait()
    restored = resume.start(model, config, tmp_path, data_mesh(jax.devices()[:1]))
    assert restored.step == 7 and (jax.random.key_data(restored.key) == jax.random.key_data(state.key)).all()
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    for a, b in zip(*map(jax.tree.leaves, (state_lib.items(restored), items)), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("method", ["mai", "pconv"])  # of the others, whose losses have floors, in tests/models
def test_one_batch_is_learnt(method):
    config = dataclasses.replace(TINY, method=method)
    model, rng = MODELS[method](config), np.random.default_rng(0)
    images = jax.image.resize(rng.integers(0, 256, (2, 4, 4, 3)).astype(np.float32), (2, 32, 32, 3), "bilinear")
    known = jnp.ones((2, 32, 32, 1)).at[:, 8:20, 10:24].set(0)
    step = jax.jit(partial(train_step, model, state_lib.optimisers(model, config), lambda bank, key, n: bank))
    state, totals = state_lib.create(model, config), []
    for _ in range(config.train.steps):
        state, logs = step(state, images.astype(jnp.uint8), known)
        totals.append(float(logs["generator/total"]))
    assert np.mean(totals[-5:]) < 0.2 * totals[0]
