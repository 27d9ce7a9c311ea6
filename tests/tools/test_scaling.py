"""More devices with the same batch per device: equal work, and only gradients and statistics are exchanged."""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jaxtyping
import pytest

from mai_jax.config import VGG16, Config, Discriminator, Generator, Phase
from mai_jax.data.hole_sampler import make_hole_sampler
from mai_jax.models.mai import MAI
from mai_jax.training import train_state
from mai_jax.training.train_step import data_mesh, make_train_step
from tools import roofline
from tools.hlo import Array, Program
from tools.roofline import Costs

DEVICES = (1, 2, 4, 8)
CONFIG = Config(
    image_size=32, generator=Generator(width=4, se_reduction=4, attention_stages=(2,)),
    discriminator=Discriminator(width=4), vgg16=VGG16(weights="random", width=4), main_phase=Phase(steps=4),
)  # fmt: skip


@pytest.fixture(scope="module")
def state():
    return train_state.init_on_devices(MAI(CONFIG), CONFIG)


class Compiled(NamedTuple):
    flops: float  # as XLA counts them
    costs: Costs
    exchanged: list[Array]


@pytest.fixture(scope="module")
def compiled(state):
    """Return the compiled training step, including hole sampling, by number of devices, for two images per device."""
    hole_sampler = make_hole_sampler("drawn", CONFIG.holes, CONFIG.image_size)

    def lowered(devices: int):
        images = jax.ShapeDtypeStruct((2 * devices, 32, 32, 3), jnp.uint8)
        step = make_train_step(MAI(CONFIG), CONFIG, hole_sampler.sample, data_mesh(jax.devices()[:devices]))
        return step.lower(state, images, hole_sampler.mask_bank)

    def read(step) -> Compiled:
        text = step.as_text()
        executed = Program(text).executed()
        exchanged = [array for i, _, _ in executed if i.opcode in roofline.COLLECTIVES for array in i.result]
        return Compiled(step.cost_analysis()["flops"], roofline.costs(text), exchanged)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # lowering passes abstract values
        programs = pool.map(lambda step: step.compile(), [lowered(devices) for devices in DEVICES])
        return dict(zip(DEVICES, map(read, programs), strict=True))


def test_each_device_does_the_same_work(compiled):
    assert {step.costs.flops for step in compiled.values()} == {compiled[1].costs.flops}
    for step in compiled.values():
        assert step.flops == pytest.approx(compiled[1].flops, rel=0.01)  # collectives add some FLOPs


def test_only_gradients_statistics_and_logged_scalars_are_exchanged(compiled, state):
    batch_stats = state.batch_stats["generator"]
    means = [leaf for path, leaf in jax.tree.leaves_with_path(batch_stats) if "mean" in str(path[-1])]
    # Per BatchNorm: the mean, the mean of squares, and in the backward pass the gradient of the mean; the gradient of
    # the variance is summed with that of the scale.
    expected = 4 * sum(leaf.size for leaf in jax.tree.leaves(state.params)) + 4 * 3 * sum(m.size for m in means)
    assert compiled[1].costs.collectives == {}
    for devices in DEVICES[1:]:
        assert compiled[devices].costs.collectives.keys() == {"all-reduce"}
        assert sum(array.bytes for array in compiled[devices].exchanged if array.shape) == expected
        assert sum(array.shape == () for array in compiled[devices].exchanged) <= 20  # means of losses and logs
