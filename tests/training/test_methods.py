"""Training of every method: exact resumption, and overfitting of one batch."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax.config import PIC, VGG16, Config, Discriminator, Generator, Losses, Phase
from mai_jax.data import sources
from mai_jax.data.hole_sampler import make_hole_sampler
from mai_jax.models import MODELS
from mai_jax.training import checkpointing, train_state
from mai_jax.training.metric_writer import MetricLogger, MetricWriter
from mai_jax.training.nonfinite import NonfiniteSteps
from mai_jax.training.train_step import data_mesh, train_step
from mai_jax.training.trainer import Trainer, restore_or_init

TINY = Config(
    image_size=32, batch_size=2, generator=Generator(width=8, se_reduction=4), discriminator=Discriminator(width=4),
    pic=PIC(width=4), losses=Losses(style=0.1, adversarial=0.001), vgg16=VGG16(weights="random", width=4),
    main_phase=Phase(steps=200, learning_rate=4e-3),
)  # fmt: skip


@pytest.mark.parametrize("method", sorted(set(MODELS) - {"pconv_public"}))  # never trained from random parameters
def test_the_state_is_restored_bit_for_bit(method, tmp_path):
    """A step is a pure function of the state, so an equal state continues the run bit for bit."""
    config = dataclasses.replace(TINY, method=method)
    model, rng = MODELS[method](config), np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: train_state.checkpoint_items(train_state.init_state(model, config)))
    items = jax.tree.map(lambda leaf: jnp.asarray(rng.integers(1, 1000, leaf.shape) / 7, leaf.dtype), shapes)
    state = train_state.restore_state(items, 7, config)
    hole_sampler, source = make_hole_sampler("drawn", config.holes, 32), sources.open_source(config.data, "train")
    with checkpointing.CheckpointWriter(tmp_path, keep=1) as writer, MetricWriter(tmp_path, step=7) as metric_writer:
        trainer = Trainer(config, state, data_mesh(jax.devices()[:1]), (), MetricLogger(config, metric_writer),
                          NonfiniteSteps(config, tmp_path, source, hole_sampler), writer)
        trainer._saved = 0
        trainer.save()
        writer.wait()
    restored, _, _ = restore_or_init(model, config, tmp_path, data_mesh(jax.devices()[:1]))
    assert restored.step == 7 and (jax.random.key_data(restored.rng) == jax.random.key_data(state.rng)).all()
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    for a, b in zip(*map(jax.tree.leaves, (train_state.checkpoint_items(restored), items)), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("method", ["mai", "pconv"])  # losses of the others have lower bounds: see tests/models
def test_overfits_one_batch(method):
    config = dataclasses.replace(TINY, method=method)
    model, rng = MODELS[method](config), np.random.default_rng(0)
    images = jax.image.resize(rng.integers(0, 256, (2, 4, 4, 3)).astype(np.float32), (2, 32, 32, 3), "bilinear")
    valid = jnp.ones((2, 32, 32, 1)).at[:, 8:20, 10:24].set(0)
    optimizers = model.make_optimizers(train_state.learning_rate_schedule(config))
    step = jax.jit(partial(train_step, model, optimizers, lambda mask_bank, rng, n: mask_bank))
    state, totals = train_state.init_on_devices(model, config), []
    for _ in range(config.main_phase.steps):
        state, logs = step(state, images.astype(jnp.uint8), valid)
        totals.append(float(logs["generator/total"]))
    assert np.mean(totals[-5:]) < 0.2 * totals[0]
