"""The training step compiled for TPUs that are not there: does it fit, what does it cost, what bounds it.

python -m mai_jax.training.aot --config=configs/places2.py --topology=v5e:4x4

Needs `pip install '.[aot]'`, which brings libtpu; no TPU, no weights and no photographs. The step is the one that
training runs, sharded over the chips of the topology; its arguments are shapes.
"""

import dataclasses
import importlib.util
import logging
import math
import os
from collections.abc import Callable
from typing import NamedTuple

import jax
import jaxlib
from absl import flags
from jax.experimental import topologies
from jax.stages import Compiled
from ml_collections import config_flags

from mai_jax import command
from mai_jax import config as config_lib
from mai_jax.config import VGG16, Config
from mai_jax.data import holes
from mai_jax.models import MODELS
from mai_jax.training import roofline
from mai_jax.training.roofline import CHIPS, Chip, Costs
from mai_jax.training.step import compile_ahead, data_mesh
from mai_jax.types import InputError, RunError

# libtpu would look for the machine that it is on, and keep others from loading it.
LIBTPU = {"TPU_SKIP_MDS_QUERY": "1", "TPU_ACCELERATOR_TYPE": "v5litepod-4", "TPU_WORKER_HOSTNAMES": "localhost",
          "TPU_LOG_DIR": "disabled", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}  # fmt: skip


class Topology(NamedTuple):
    name: str
    chip: Chip
    devices: list[jax.Device]


class Memory(NamedTuple):
    """Bytes of HBM per chip. New parameters take the place of the old ones, so outputs are few."""

    arguments: int
    outputs: int
    temporaries: int
    peak: int


class Plan(NamedTuple):
    """What the compiler made of the step on one topology."""

    topology: Topology
    batch: int  # images per chip
    memory: Memory
    costs: Costs

    @property
    def times(self) -> roofline.Times:
        return roofline.times(self.costs, self.topology.chip, len(self.topology.devices))


def describe(name: str) -> Topology:
    """The chips of a topology such as "v5e:4x4". Raises InputError."""
    kind = name.partition(":")[0]
    if kind not in CHIPS:
        raise InputError(f"--topology={name}: no figures of such a chip; there are {', '.join(CHIPS)}, as in v5e:4x4")
    if importlib.util.find_spec("libtpu") is None:
        raise InputError("libtpu, the TPU compiler, is not installed; pip install '.[aot]'")
    for variable, value in LIBTPU.items():
        os.environ.setdefault(variable, value)
    try:
        devices = topologies.get_topology_desc(platform="tpu", topology_name=name).devices
    except Exception as error:  # what libtpu raises differs from version to version
        raise InputError(f"--topology={name}: libtpu knows no such topology "
                         f"({str(error).splitlines()[0]}); try {kind}:{'2x2x1' if kind == 'v5p' else '4x4'}") from error
    return Topology(name, CHIPS[kind], list(devices))


def compile_for(config: Config, devices: list[jax.Device], batch: int) -> Compiled:
    """The step of the first phase for `batch` images on each of the devices. Allocates nothing on them."""
    # Constants of the program: their values cost nothing, so none are fetched.
    vgg16 = VGG16(weights="random", width=config.vgg16.width)
    config = dataclasses.replace(config, vgg16=vgg16, batch_size=batch * len(devices))
    model = MODELS[config.method](config, next(iter(config.phases)))
    hiding = holes.sampler(config.holes.train, config.holes, config.image_size)
    return compile_ahead(model, config, hiding, data_mesh(devices))


def plan(config: Config, topology: Topology, batch: int) -> Plan | None:
    """The plan for `batch` images per chip; None if the chip's memory is too small for it. Raises RunError."""
    try:
        compiled = compile_for(config, topology.devices, batch)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error) and "hbm" in str(error).lower():
            return None
        raise
    try:
        text = compiled.as_text()
    except jax.errors.JaxRuntimeError as error:
        raise RunError(f"{topology.name}: jaxlib {jaxlib.__version__} cannot read the program that this libtpu made "
                       f"({str(error).splitlines()[0]}); install the one that goes with it: "
                       "pip install 'jax[tpu]'") from error
    found = compiled.memory_analysis()
    memory = Memory(found.argument_size_in_bytes, found.output_size_in_bytes - found.alias_size_in_bytes,
                    found.temp_size_in_bytes, found.peak_memory_in_bytes)
    return Plan(topology, batch, memory, roofline.costs(text))


def largest(fits: Callable[[int], bool], guess: int) -> tuple[int, int]:
    """A batch that fits (0: none does) and a larger one that does not, at most 1/8 apart. Tries `guess` first."""
    good, bad, trial, stride = 0, None, guess, max(1, guess // 8)
    while bad is None or bad - good > max(1, good // 8):
        if fits(trial):
            good = trial
        else:
            bad = trial
        if bad is None:
            trial = good + stride
        elif good == 0:
            trial = max(bad - stride, bad // 2)
        else:
            trial = (good + bad) // 2
        stride *= 2
    return good, bad


def guess(plan: Plan) -> int:
    """The batch that fills a chip, if all memory but parameters and optimiser grows with the batch."""
    free = 0.95 * plan.topology.chip.hbm - plan.memory.arguments
    return max(1, int(plan.batch * free / (plan.memory.peak - plan.memory.arguments)))


def report(plan: Plan) -> str:
    """The plan as people read it."""
    chips, memory, costs, times = len(plan.topology.devices), plan.memory, plan.costs, plan.times
    share = memory.peak / plan.topology.chip.hbm
    lines = [f"{plan.topology.name}: {chips} chips, {plan.batch} images each, {chips * plan.batch} a step",
             f"memory per chip: {_si(memory.peak)}B peak, {share:.0%} of its HBM (arguments "
             f"{_si(memory.arguments)}B, outputs {_si(memory.outputs)}B, temporaries {_si(memory.temporaries)}B)",
             f"work per chip: {_si(costs.flops)}FLOP, {_si(costs.flops / plan.batch)}FLOP per image; "
             f"{_si(costs.hbm_bytes)}B through HBM"]  # fmt: skip
    lines += [f"{kind}: {moved.count} a step, {_si(moved.bytes)}B" for kind, moved in costs.collectives.items()]
    lines += [f"at least {1e3 * max(times):.2f} ms a step, {chips * plan.batch / max(times):,.0f} images/s, bound by "
              f"{times.bound} (matrix units {1e3 * times.matrix_units:.2f} ms, HBM {1e3 * times.hbm:.2f} ms, "
              f"ICI {1e3 * times.ici:.2f} ms)"]  # fmt: skip
    return "\n".join(lines)


def _si(number: float) -> str:
    """1234567 -> "1.23 M"."""
    power = max(0, min(4, int(math.log10(number) // 3))) if number >= 1 else 0
    return f"{number / 1000**power:.3g} {' kMGT'[power].strip()}"


CONFIG = config_flags.DEFINE_config_file("config", help_string="A file of configs/, e.g. configs/places2.py.")
TOPOLOGY = flags.DEFINE_string("topology", "v5e:4x4", "Chip and shape, e.g. v5e:16x16, v5p:4x4x4, v6e:2x2.")
LARGEST = flags.DEFINE_bool("largest_batch", True, "Also search for the largest batch that fits: some more compiles.")


def main() -> None:
    jax.config.update("jax_platforms", "cpu")  # with libtpu installed JAX would look for TPUs
    jax.config.update("jax_enable_compilation_cache", False)  # it cannot read back what no device can load
    logging.getLogger("mai_jax.nn.vgg").setLevel(logging.ERROR)  # its weights' values do not matter here
    config = command.config(CONFIG)
    config_lib.check(config)
    topology = describe(TOPOLOGY.value)
    plans: dict[int, Plan | None] = {}

    def fits(batch: int) -> bool:
        if batch not in plans:
            print(f"compiling for {batch} images per chip", flush=True)
            plans[batch] = plan(config, topology, batch)
        return plans[batch] is not None

    # The config's batch over all chips; rounded up, since each chip gets as many images as the others.
    batch = -(-config.batch_size // len(topology.devices))
    first = plans[batch] if fits(batch) else None
    print(report(first) if first else f"{topology.name}: {batch} images per chip do not fit", flush=True)
    if LARGEST.value:
        most, too_many = largest(fits, guess(first) if first else batch)
        print(f"largest batch: {most} images per chip fit, {too_many} do not")
        if most:
            print(report(plans[most]))


if __name__ == "__main__":
    command.run(main)
