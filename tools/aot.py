"""Ahead-of-time compilation of the training step for TPUs and GPUs: memory, cost and bottleneck, without the device.

python -m tools.aot --config=configs/places2.py --topology=v5e:4x4     (needs pip install '.[aot]')
python -m tools.aot --config=configs/places2.py --topology=h100:1x1x8  (needs pip install '.[aot-gpu]')

No weights or images are needed. The step is that of the training, sharded over the chips of the topology; its arguments
are shapes. The report lists the bytes by part of the step, and for GPUs what the program launches.
"""

import dataclasses
import importlib.util
import logging
import math
import os
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jaxlib
from jax.experimental import topologies
from jax.stages import Compiled

from mai_jax import config as config_lib
from mai_jax.cli import app, config_argument
from mai_jax.cli.arguments import Parser, Switch
from mai_jax.config import VGG16, Config
from mai_jax.data.hole_sampler import make_hole_sampler
from mai_jax.errors import InputError, RunError
from mai_jax.models import model_class
from mai_jax.training.train_step import compile_train_step, data_mesh
from tools import gpu, roofline, step_parts
from tools.gpu import Kernels
from tools.roofline import CHIPS, Chip, Costs, Moved

# Keeps libtpu from querying the metadata of the machine and from locking out other processes.
LIBTPU = {"TPU_SKIP_MDS_QUERY": "1", "TPU_ACCELERATOR_TYPE": "v5litepod-4", "TPU_WORKER_HOSTNAMES": "localhost",
          "TPU_LOG_DIR": "disabled", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}  # fmt: skip


class Topology(NamedTuple):
    """Connected chips of one kind."""

    name: str
    chip: Chip
    devices: list[jax.Device]


class Memory(NamedTuple):
    """Bytes of HBM per chip. `outputs` excludes the new train state, which is stored in the buffers of the old one."""

    arguments: int
    outputs: int
    temporaries: int
    peak: int


class Plan(NamedTuple):
    """Memory and costs of the compiled step on one topology."""

    topology: Topology
    batch: int  # images per chip
    memory: Memory
    costs: Costs
    parts: Mapping[str, Moved]  # operations, and bytes to and from HBM, by part of the step
    kernels: Kernels | None  # of GPUs

    @property
    def times(self) -> roofline.Times:
        """Return lower bounds of the time of a step."""
        return roofline.times(self.costs, self.topology.chip, len(self.topology.devices))


def describe(name: str) -> Topology:
    """Return the chips of a topology such as "v5e:4x4" or "h100:1x1x8".

    Raises InputError if there is none, or its compiler is not installed.
    """
    kind = name.partition(":")[0]
    if kind not in CHIPS:
        raise InputError(f"--topology={name}: unknown kind of chip; there are {', '.join(CHIPS)}, as in v5e:4x4")
    if kind in gpu.DEVICES:
        return Topology(name, CHIPS[kind], gpu.devices(name))
    if importlib.util.find_spec("libtpu") is None:
        raise InputError("libtpu, the TPU compiler, is not installed; pip install '.[aot]'")
    for variable, value in LIBTPU.items():
        os.environ.setdefault(variable, value)
    try:
        devices = topologies.get_topology_desc(platform="tpu", topology_name=name).devices
    except Exception as error:  # the exception type depends on the version of libtpu
        raise InputError(f"--topology={name}: libtpu has no such topology "
                         f"({str(error).splitlines()[0]}); try {kind}:{'2x2x1' if kind == 'v5p' else '4x4'}") from error
    return Topology(name, CHIPS[kind], list(devices))


def compile_for(config: Config, devices: list[jax.Device], batch: int) -> Compiled:
    """Return the compiled step of the first phase for `batch` images per device. Allocates nothing on the devices."""
    # The values of the VGG weights do not affect memory and costs, so they are not downloaded.
    vgg16 = VGG16(weights="random", width=config.vgg16.width)
    config = dataclasses.replace(config, vgg16=vgg16, batch_size=batch * len(devices))
    model = model_class(config.method)(config, next(iter(config.phases)))
    hole_sampler = make_hole_sampler(config.holes.train_masks, config.holes, config.image_size)
    return compile_train_step(model, config, hole_sampler, data_mesh(devices))


def plan(config: Config, topology: Topology, batch: int) -> Plan | None:
    """Return the plan for `batch` images per chip, None if they do not fit into the memory of a chip.

    Raises RunError if jaxlib cannot read the compiled program.
    """
    try:
        compiled = compile_for(config, topology.devices, batch)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error) and "hbm" in str(error).lower():
            return None
        raise
    try:
        text = compiled.as_text()
    except jax.errors.JaxRuntimeError as error:
        raise RunError(f"{topology.name}: jaxlib {jaxlib.__version__} cannot read the program compiled by this libtpu "
                       f"({str(error).splitlines()[0]}); install the matching libtpu: "
                       "pip install 'jax[tpu]'") from error
    stats = compiled.memory_analysis()
    outputs = stats.output_size_in_bytes - stats.alias_size_in_bytes
    sizes = (stats.argument_size_in_bytes, outputs, stats.temp_size_in_bytes)
    costs, parts = roofline.costs(text), step_parts.parts(text)
    if topology.name.partition(":")[0] not in gpu.DEVICES:
        return Plan(topology, batch, Memory(*sizes, stats.peak_memory_in_bytes), costs, parts, None)
    if sum(sizes) > topology.chip.hbm:  # not an error of the compiler
        return None
    return Plan(topology, batch, Memory(*sizes, sum(sizes)), costs, parts, gpu.kernels(text))


def largest(fits: Callable[[int], bool], guess: int) -> tuple[int, int]:
    """Return a batch that fits (0 if none does) and a larger one that does not, at most 1/8 apart.

    Searches by bisection, starting with `guess`.
    """
    low, high, trial, stride = 0, None, guess, max(1, guess // 8)
    while high is None or high - low > max(1, low // 8):
        if fits(trial):
            low = trial
        else:
            high = trial
        if high is None:
            trial = low + stride
        elif low == 0:
            trial = max(high - stride, high // 2)
        else:
            trial = (low + high) // 2
        stride *= 2
    return low, high


def guess(plan: Plan) -> int:
    """Estimate the batch that fills a chip, assuming that all memory except the arguments is proportional to it."""
    free = 0.95 * plan.topology.chip.hbm - plan.memory.arguments
    return max(1, int(plan.batch * free / (plan.memory.peak - plan.memory.arguments)))


def report(plan: Plan) -> str:
    """Return the plan as text."""
    chips, memory, costs, times = len(plan.topology.devices), plan.memory, plan.costs, plan.times
    share = memory.peak / plan.topology.chip.hbm
    lines = [f"{plan.topology.name}: {chips} chips, {plan.batch} images each, {chips * plan.batch} per step",
             f"memory per chip: {_si(memory.peak)}B peak, {share:.0%} of its HBM (arguments "
             f"{_si(memory.arguments)}B, outputs {_si(memory.outputs)}B, temporaries {_si(memory.temporaries)}B)",
             f"work per chip: {_si(costs.flops)}FLOP, {_si(costs.flops / plan.batch)}FLOP per image; "
             f"{_si(costs.hbm_bytes)}B through HBM"]  # fmt: skip
    lines += [f"{kind}: {moved.count} per step, {_si(moved.bytes)}B" for kind, moved in costs.collectives.items()]
    if plan.kernels:
        lines += _launched(plan.kernels)
    lines += [f"{name}: {part.count} operations, {_si(part.bytes)}B" for name, part in plan.parts.items()]
    lines += [f"at least {1e3 * max(times):.2f} ms per step, {chips * plan.batch / max(times):,.0f} images/s, bound by "
              f"{times.bound} (matrix units {1e3 * times.matrix_units:.2f} ms, HBM {1e3 * times.hbm:.2f} ms, "
              f"links {1e3 * times.links:.2f} ms)"]  # fmt: skip
    return "\n".join(lines)


def _launched(kernels: Kernels) -> list[str]:
    """Return the lines of the report about kernels; the memory above them excludes the workspace of cuDNN."""
    kinds = sorted(kernels.by_kind.items(), key=lambda item: -item[1])
    lines = ["memory excludes the workspace of cuDNN",
             f"{kernels.launches} kernels per step: {', '.join(f'{count} {kind}' for kind, count in kinds)}"]
    return lines + [f"{found.count} convolutions in {dtype}, {layout}: {_si(found.flops)}FLOP, {_si(found.bytes)}B"
                    for (dtype, layout), found in kernels.convolutions.items()]


def _si(number: float) -> str:
    """Return a number with SI prefix: 1234567 -> "1.23 M"."""
    power = max(0, min(4, int(math.log10(number) // 3))) if number >= 1 else 0
    return f"{number / 1000**power:.3g} {' kMGT'[power].strip()}"


def main() -> None:
    """Run the command."""
    parser = Parser(prog="python -m tools.aot", description=__doc__)
    config_argument.add_config(parser)
    parser.add_argument("--topology", default="v5e:4x4", help="chip and shape: v5e:16x16, v5p:4x4x4, h100:1x1x8, ...")
    parser.add_argument("--largest-batch", action=Switch, default=True,
                        help="also search for the largest batch that fits, which compiles a few times more")
    given = parser.parse()
    jax.config.update("jax_platforms", "cpu")  # with libtpu installed JAX would search for TPUs
    jax.config.update("jax_enable_compilation_cache", False)  # it cannot load programs for devices that do not exist
    logging.getLogger("mai_jax.nn.vgg").setLevel(logging.ERROR)  # its warning about random weights is irrelevant here
    config = config_argument.load(given)
    config_lib.check(config)
    topology = describe(given.topology)
    plans: dict[int, Plan | None] = {}

    def fits(batch: int) -> bool:
        if batch not in plans:
            print(f"compiling for {batch} images per chip", flush=True)
            plans[batch] = plan(config, topology, batch)
        return plans[batch] is not None

    # The config's batch, divided by the number of chips and rounded up to an equal number per chip.
    batch = -(-config.batch_size // len(topology.devices))
    first = plans[batch] if fits(batch) else None
    print(report(first) if first else f"{topology.name}: {batch} images per chip do not fit", flush=True)
    if given.largest_batch:
        max_batch, too_large = largest(fits, guess(first) if first else batch)
        print(f"largest batch: {max_batch} images per chip fit, {too_large} do not")
        if max_batch:
            print(report(plans[max_batch]))


if __name__ == "__main__":
    sys.exit(app.run(main))
