"""Averaged weights, and gradients of a batch that is computed in parts."""

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax import config as config_lib
from mai_jax.batch import Batch
from mai_jax.data.hole_sampler import make_hole_sampler
from mai_jax.errors import InputError
from mai_jax.inference.model_loading import load_model
from mai_jax.models.mai import MAI
from mai_jax.training import train_state
from mai_jax.training.checkpointing import CheckpointReader, CheckpointWriter
from mai_jax.training.continuation import NO_CHANGES, StartOptions
from mai_jax.training.hooks import Validation
from mai_jax.training.metric_writer import NullWriter
from mai_jax.training.train_step import accumulate_gradients, data_mesh, make_train_step
from mai_jax.training.trainer import check, restore_or_init
from tests.tiny_model import Tiny, tiny_config


def copied(state):
    """Return the variables and their average as NumPy arrays, which the donation of the state does not change."""
    return SimpleNamespace(**jax.tree.map(np.array, {"variables": state.variables, "ema": state.ema}))


def run(config, steps=1):
    """Return the states before and after each step on all devices, and the scalars of the last."""
    hole_sampler, rng = make_hole_sampler("drawn", config.holes, 32), np.random.default_rng(0)
    step = make_train_step(Tiny(config), config, hole_sampler.sample, data_mesh())
    state = train_state.init_on_devices(Tiny(config), config)
    states, logs = [copied(state)], {}
    for _ in range(steps):
        state, logs = step(state, rng.integers(0, 256, (config.batch_size, 32, 32, 3), np.uint8), ())
        states.append(copied(state))
    return states, jax.device_get(logs)


def assert_close(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def test_a_batch_in_parts_has_the_gradients_of_the_whole():
    whole, in_parts = (run(tiny_config("", 9, batch_size=32, accumulate=parts)) for parts in (1, 4))
    assert whole[0][1].ema is None
    assert whole[1].keys() == in_parts[1].keys() and in_parts[1]["finite"] == 1
    assert_close(whole[1], in_parts[1], rtol=1e-5)
    assert_close(whole[0][1].variables["params"], in_parts[0][1].variables["params"], atol=1e-6)
    statistics = [states[1].variables["batch_stats"]["generator"]["mean"] for states, _ in (whole, in_parts)]
    ratio = (1 - 0.9**4) / (1 - 0.9)  # four updates with a part instead of one with the whole
    np.testing.assert_allclose(statistics[1], ratio * statistics[0], rtol=0.3)


def test_statistics_and_outputs_of_other_networks_pass_through_the_parts():
    config = config_lib.Config(image_size=32, vgg16=config_lib.VGG16(weights="random", width=4))
    config.generator.width = config.discriminator.width = 4
    model = MAI(config)
    model.prepare()
    images = jax.ShapeDtypeStruct((4, 32, 32, 3), jnp.float32)
    valid = jax.ShapeDtypeStruct((4, 32, 32, 1), jnp.float32)

    def outputs(image, valid, parts):
        state = train_state.init_state(model, config)
        rngs = list(jax.random.split(state.rng, len(model.networks)))
        return accumulate_gradients(model, state, Batch(image, valid), rngs, parts)

    whole, in_parts = (jax.eval_shape(lambda *batch, p=parts: outputs(*batch, p), images, valid) for parts in (1, 2))
    assert whole == in_parts


def test_the_batch_must_divide_into_parts():
    with pytest.raises(InputError, match=r"batch_size=24: not a multiple of the 8 devices times config.accumulate=2; "
                                         "give --config.batch_size=32"):
        check(tiny_config("", 1, batch_size=24, accumulate=2), data_mesh())


def test_the_average_follows_the_weights():
    states, _ = run(tiny_config("", 9, ema_decay=0.25), 3)
    expected = states[0].variables
    for number, state in enumerate(states[1:], 1):
        decay = min(0.25, (1 + number) / (10 + number))  # 2 / 11, 3 / 12, 0.25
        expected = jax.tree.map(lambda e, x, d=decay: d * e + (1 - d) * x, expected, state.variables)
        assert_close(state.ema, expected, rtol=1e-5, atol=1e-7)


def save(folder, config):
    """Save a checkpoint whose average, if any, is twice its parameters. Return the state."""
    state = train_state.init_on_devices(Tiny(config), config)
    ema = None if state.ema is None else jax.tree.map(lambda x: 2 * x, state.ema)
    state = state.replace(ema=ema)
    with CheckpointWriter(folder, keep=1) as writer:
        writer.save(1, train_state.checkpoint_items(state), {"config": config_lib.to_dict(config)})
    return state


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_inference_and_validation_use_the_average(tmp_path):
    with_average = tiny_config("sample_photos", 9, ema_decay=0.9)
    state = save(tmp_path / "with", with_average)
    assert_equal(load_model(tmp_path / "with").variables, state.ema)
    plain = save(tmp_path / "without", dataclasses.replace(with_average, ema_decay=0.0))
    assert_equal(load_model(tmp_path / "without").variables, plain.variables)

    class Scalars(NullWriter):
        def write_scalars(self, step, values):
            written.append(values)

    written, validation = [], Validation(with_average, Tiny(with_average))
    for shown in (state, state.replace(**state.ema, ema=None), state.replace(ema=None)):
        validation.write(1, shown, Scalars())
    assert written[0] == written[1] != written[2]


def test_the_average_can_be_switched_on_and_off_during_a_run(tmp_path):
    plain, averaged = tiny_config("", 9), tiny_config("", 9, ema_decay=0.9)
    for name, config in (("plain", plain), ("averaged", averaged)):
        save(tmp_path / name, config)
    with pytest.raises(InputError, match=r"ema_decay: 0.0 -> 0.9; .*--continue-with=ema_decay"):
        restore_or_init(Tiny(averaged), averaged, tmp_path / "plain", data_mesh(), NO_CHANGES)
    options = StartOptions(("ema_decay",))
    state, _, _ = restore_or_init(Tiny(averaged), averaged, tmp_path / "plain", data_mesh(), options)
    assert_equal(state.ema, CheckpointReader(tmp_path / "plain").read("params", state.variables))
    assert len({leaf.unsafe_buffer_pointer() for array in jax.tree.leaves((state.ema, state.variables))
                for leaf in [shard.data for shard in array.addressable_shards][:1]}) == 10  # no array is shared
    state, _, _ = restore_or_init(Tiny(plain), plain, tmp_path / "averaged", data_mesh(), StartOptions(("ema_decay",)))
    assert state.ema is None
