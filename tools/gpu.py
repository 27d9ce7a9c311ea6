"""What a program compiled for a GPU executes: kernels, convolutions by layout and dtype, transposes between them.

XLA compiles for a GPU that is described as text, without one. cuDNN's algorithms stay unchosen, so their workspace is
not part of the memory, and no time can be inferred but the roofline's.
"""

import importlib.util
import re
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import jax
from jax.experimental import topologies

from mai_jax.errors import InputError
from tools import roofline, step_parts
from tools.hlo import Computation, Instruction, Program

COMMON = {
    "threads_per_block_limit": 1024, "threads_per_warp": 32, "threads_per_core_limit": 2048,
    "shared_memory_per_block": 49152, "registers_per_core_limit": 65536, "registers_per_block_limit": 65536,
    "block_dim_limit_x": 2147483647, "block_dim_limit_y": 65535, "block_dim_limit_z": 65535,
}  # fmt: skip
# Name, major compute capability, and what differs between the devices. A core is a multiprocessor.
DEVICES = {
    "h100": ("NVIDIA H100 80GB HBM3", 9, {
        "core_count": 132, "fpus_per_core": 128, "clock_rate_ghz": 1.98, "memory_bandwidth": 3352320000000,
        "device_memory_size": 84929347584, "l2_cache_size": 52428800, "shared_memory_per_core": 233472,
        "shared_memory_per_block_optin": 232448}),
    "a100": ("NVIDIA A100-SXM4-80GB", 8, {
        "core_count": 108, "fpus_per_core": 64, "clock_rate_ghz": 1.41, "memory_bandwidth": 2039000000000,
        "device_memory_size": 84929347584, "l2_cache_size": 41943040, "shared_memory_per_core": 167936,
        "shared_memory_per_block_optin": 166912}),
}  # fmt: skip
VERSIONS = 'dnn_version_info { major: 9 minor: 12 } runtime_version { major: 13 }'  # of cuDNN and CUDA


class Convolutions(NamedTuple):
    """Convolutions of one layout and dtype."""

    count: int
    flops: int
    bytes: int


class Kernels(NamedTuple):
    """What one device executes in a step.

    `by_kind`: the number of launches, by "convolutions", "matrix products", "transposes" (which change the order of
    axes in memory), "reductions", "copies", collectives, and "elementwise". `convolutions` has keys such as ("bf16",
    "channels last").
    """

    by_kind: Mapping[str, int]
    convolutions: Mapping[tuple[str, str], Convolutions]

    @property
    def launches(self) -> int:
        """Return the number of kernels, copies and collectives."""
        return sum(self.by_kind.values())


def devices(name: str) -> list[jax.Device]:
    """Return the devices of a topology such as "h100:1x1x8". Raises InputError if there is none, or no compiler."""
    kind, _, shape = name.partition(":")
    if not re.fullmatch(r"1x1x[1-8]", shape):
        raise InputError(f"--topology={name}: GPUs of one machine are compiled for; write {kind}:1x1xN, N from 1 to 8")
    if importlib.util.find_spec("jax_cuda13_plugin") is None:
        raise InputError("jax-cuda13-plugin, the compiler for GPUs, is not installed; pip install '.[aot-gpu]'")
    title, capability, own = DEVICES[kind]
    numbers = " ".join(f"{key}: {value}" for key, value in (COMMON | own).items())
    target = (f'gpu_device_info {{ {numbers} cuda_compute_capability {{ major: {capability} }} }} '
              f'platform_name: "CUDA" {VERSIONS} device_description_str: "{title}"')
    return list(topologies.get_topology_desc(platform="cuda", target_config=target, topology=shape).devices)


def kernels(text: str) -> Kernels:
    """Return what a compiled program (`Compiled.as_text()`) executes. Raises ValueError for an unknown trip count."""
    program = Program(text)
    by_kind: Counter[str] = Counter()
    convolutions: dict[tuple[str, str], Convolutions] = {}
    for instruction, parent, times in program.executed():
        if not step_parts.executes(instruction):
            continue
        kind = _kind(program, instruction)
        by_kind[kind] += times
        if kind == "convolutions":
            key = _layout(instruction, parent)
            total = convolutions.get(key, Convolutions(0, 0, 0))
            added = (1, roofline.flops(program, instruction, parent), roofline.hbm_bytes(program, instruction, parent))
            convolutions[key] = Convolutions(*(a + times * b for a, b in zip(total, added, strict=True)))
    return Kernels(by_kind, convolutions)


def _kind(program: Program, instruction: Instruction) -> str:
    """Return a key of `Kernels.by_kind`."""
    opcode = instruction.opcode
    if opcode == "custom-call":
        target = instruction.attribute("custom_call_target")
        return "convolutions" if "__cudnn$conv" in target else target
    if opcode != "fusion":
        return "copies" if opcode.startswith("copy") else opcode.removesuffix("-start") + "s"
    inside = {i.opcode for i in step_parts.inside(program, instruction)}
    for found, kind in (("dot", "matrix products"), ("transpose", "transposes"), ("reduce", "reductions")):
        if found in inside:
            return kind
    return "elementwise"


def _layout(instruction: Instruction, parent: Computation) -> tuple[str, str]:
    """Return the dtype of a convolution's input, and the order of the axes of input and output in memory."""
    arrays = roofline.convolution(instruction, parent)
    assert arrays is not None  # only called for convolutions
    labels = re.split("_|->", instruction.attribute("dim_labels"))
    minor = [labels[i][int(arrays[i].layout.partition(",")[0])] for i in (0, 2)]
    return arrays[0].dtype, "channels last" if minor == ["f", "f"] else "channels first"
