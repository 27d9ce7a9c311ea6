"""More devices at the same batch per device: the same work for each, and nothing moves but gradients and statistics."""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jaxtyping
import pytest

from mai_jax.config import VGG16, Config, Discriminator, Generator, Phase
from mai_jax.data import holes
from mai_jax.models.mai import MAI
from mai_jax.training import roofline
from mai_jax.training import state as state_lib
from mai_jax.training.hlo import Array, Program
from mai_jax.training.roofline import Costs
from mai_jax.training.step import compile_step, data_mesh

DEVICES = (1, 2, 4, 8)
CONFIG = Config(
    image_size=32, generator=Generator(width=4, squeeze=4, attention_stages=(2,)), discriminator=Discriminator(width=4),
    vgg16=VGG16(weights="random", width=4), train=Phase(steps=4),
)  # fmt: skip


@pytest.fixture(scope="module")
def state():
    return state_lib.create(MAI(CONFIG), CONFIG)


class Compiled(NamedTuple):
    flops: float  # as XLA counts them
    costs: Costs
    exchanged: list[Array]


@pytest.fixture(scope="module")
def compiled(state):
    """By number of devices: the step as training runs it, holes and all, for two images on each."""
    hiding = holes.sampler("drawn", CONFIG.holes, CONFIG.image_size)

    def lowered(devices: int):
        images = jax.ShapeDtypeStruct((2 * devices, 32, 32, 3), jnp.uint8)
        step = compile_step(MAI(CONFIG), CONFIG, hiding.sample, data_mesh(jax.devices()[:devices]))
        return step.lower(state, images, hiding.bank)

    def read(step) -> Compiled:
        text = step.as_text()
        executed = Program(text).executed()
        exchanged = [array for i, _, _ in executed if i.opcode in roofline.COLLECTIVES for array in i.result]
        return Compiled(step.cost_analysis()["flops"], roofline.costs(text), exchanged)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # lowering puts descriptions in place of arrays
        programs = pool.map(lambda step: step.compile(), [lowered(devices) for devices in DEVICES])
        return dict(zip(DEVICES, map(read, programs), strict=True))


def test_each_device_does_the_same_work(compiled):
    assert {step.costs.flops for step in compiled.values()} == {compiled[1].costs.flops}
    for step in compiled.values():
        assert step.flops == pytest.approx(compiled[1].flops, rel=0.01)  # collectives add a little


def test_only_gradients_statistics_and_logged_scalars_are_exchanged(compiled, state):
    means = [leaf for path, leaf in jax.tree.leaves_with_path(state.stats["generator"]) if "mean" in str(path[-1])]
    # Of every norm the mean and the mean of squares, and on the way back the gradient of the mean; that of the
    # variance adds up with that of the scale.
    expected = 4 * sum(leaf.size for leaf in jax.tree.leaves(state.params)) + 4 * 3 * sum(m.size for m in means)
    assert compiled[1].costs.collectives == {}
    for devices in DEVICES[1:]:
        assert compiled[devices].costs.collectives.keys() == {"all-reduce"}
        assert sum(array.bytes for array in compiled[devices].exchanged if array.shape) == expected
        assert sum(array.shape == () for array in compiled[devices].exchanged) <= 20  # means of losses and logs
