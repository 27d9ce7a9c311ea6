"""Costs of a compiled program, and a lower bound of its run time on a chip (roofline model).

Unlike `Compiled.cost_analysis()`, the body of a loop counts once per iteration, and bytes are only those transferred
between HBM and the chip. FLOPs are those of dots and convolutions, the work of the matrix units, on GPUs those of the
convolutions of cuDNN. Of other custom-call kernels only those with a cost estimate of their own (Pallas) count.
"""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tools.hlo import Array, Computation, Instruction, Program


class Chip(NamedTuple):
    """Published specifications of a chip; rates are per second."""

    flops: float  # bfloat16; on TPUs the default precision also for float32, on GPUs float32 runs at half this rate
    hbm: float  # memory in bytes
    hbm_rate: float  # bytes between memory and chip
    link_rate: float  # bytes to all neighbours (ICI, NVLink): half of the published bidirectional rate


# Google's public Cloud TPU documentation, docs.cloud.google.com/tpu/docs/v5e, v5p and v6e; NVIDIA's data sheets of the
# H100 and A100 (SXM, 80 GB; dense, without sparsity).
CHIPS = {
    "v5e": Chip(197e12, 16e9, 819e9, 200e9),
    "v5p": Chip(459e12, 95e9, 2765e9, 600e9),
    "v6e": Chip(918e12, 32e9, 1640e9, 400e9),
    "h100": Chip(989e12, 80e9, 3352e9, 450e9),
    "a100": Chip(312e12, 80e9, 2039e9, 300e9),
}


class Moved(NamedTuple):
    """The number of collectives of a kind per step, and the bytes of one chip's arrays that they process."""

    count: int
    bytes: int


class Costs(NamedTuple):
    """Costs per chip and step."""

    flops: int
    hbm_bytes: int
    collectives: Mapping[str, Moved]


class Times(NamedTuple):
    """Lower bounds of the time of one step in seconds, by resource."""

    matrix_units: float
    hbm: float
    links: float

    @property
    def bound(self) -> str:
        """Return the resource that limits the speed."""
        return max(zip(self, ("matrix units", "HBM", "links"), strict=True))[1]


def times(costs: Costs, chip: Chip, chips: int) -> Times:
    """Return the roofline times. In a ring all-reduce of n chips, every chip sends 2 (n - 1) / n of the bytes."""
    sent = sum(moved.bytes * (2 if kind == "all-reduce" else 1) for kind, moved in costs.collectives.items())
    links = sent * (chips - 1) / chips / chip.link_rate
    return Times(costs.flops / chip.flops, costs.hbm_bytes / chip.hbm_rate, links)


COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")

# These name or regroup values, or call a computation whose instructions are counted separately.
NO_TRAFFIC = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional", "call",
                "after-all", "partition-id", "async-start"}  # fmt: skip
SLICES = {"slice", "dynamic-slice", "gather"}  # these read as many bytes as they return


def costs(text: str) -> Costs:
    """Return the costs of a compiled program (`Compiled.as_text()`). Raises ValueError for an unknown trip count."""
    program = Program(text)
    work = traffic = 0
    collectives: dict[str, Moved] = {}
    for instruction, parent, count in program.executed():
        work += count * flops(program, instruction, parent)
        traffic += count * hbm_bytes(program, instruction, parent)
        kind = instruction.opcode.removesuffix("-start")
        if kind in COLLECTIVES:
            inputs = sum(array.bytes for name in instruction.operands for array in parent.instructions[name].result)
            size = inputs if kind != "all-gather" else sum(array.bytes for array in instruction.result)
            total = collectives.get(kind, Moved(0, 0))
            collectives[kind] = Moved(total.count + count, total.bytes + count * size)
    return Costs(work, traffic, collectives)


def flops(program: Program, instruction: Instruction, parent: Computation) -> int:
    """Return two FLOPs per multiplication, without those by padding or by zeros between dilated elements."""
    if instruction.opcode == "fusion":
        inner = program.computations[instruction.attribute("calls")]
        return sum(flops(program, i, inner) for i in inner.instructions.values())
    if instruction.opcode == "dot":
        left = parent.instructions[instruction.operands[0]].result[0].shape
        contracted = [left[axis] for axis in instruction.integers("lhs_contracting_dims")]
        return 2 * math.prod(instruction.result[0].shape) * math.prod(contracted)
    arrays = convolution(instruction, parent)
    if arrays is None:
        estimate = re.search(r'"cost_estimate":{"flops":"(\d+)"', instruction.rest)
        return int(estimate[1]) if estimate and instruction.opcode == "custom-call" else 0
    left, right, out = (array.shape for array in arrays)
    inputs, kernel, outputs = instruction.attribute("dim_labels").replace("->", "_").split("_")
    window = dict(part.split("=") for part in instruction.attribute("window").split())
    result = 2 * out[outputs.index("b")] * out[outputs.index("f")] * right[kernel.index("i")]
    for axis in range(len(outputs) - 2):
        sizes = (array[labels.index(str(axis))]
                 for array, labels in ((left, inputs), (right, kernel), (out, outputs)))
        result *= _products(*sizes, {name: values.split("x")[axis] for name, values in window.items()})
    return result


def convolution(instruction: Instruction, parent: Computation) -> tuple[Array, Array, Array] | None:
    """Return input, kernel and output of a convolution, None for other instructions.

    cuDNN's gradients compute one of the first two from the other and the gradient of the output. Their attributes are
    those of the forward convolution, which has the same number of products.
    """
    target = instruction.attribute("custom_call_target").strip('"')
    if instruction.opcode != "convolution" and not target.startswith("__cudnn$conv"):
        return None
    first, second = (parent.instructions[name].result[0] for name in instruction.operands[:2])
    result = instruction.result[0]
    if target == "__cudnn$convBackwardInput":
        return result, second, first
    if target == "__cudnn$convBackwardFilter":
        return first, result, second
    return first, second, result


def _products(size: int, kernel: int, out: int, window: Mapping[str, str]) -> int:
    """Return the number of pairs of output and kernel position along one axis that read an input element."""
    stride, dilation, lhs_dilation = (int(window.get(name, 1)) for name in ("stride", "rhs_dilate", "lhs_dilate"))
    pad = int(window.get("pad", "0_0").split("_")[0])
    index = np.arange(out)[:, None] * stride + np.arange(kernel)[None] * dilation - pad
    return int(((index >= 0) & (index <= (size - 1) * lhs_dilation) & (index % lhs_dilation == 0)).sum())


def hbm_bytes(program: Program, instruction: Instruction, parent: Computation) -> int:
    """Return the bytes to and from HBM. Each operand is read once (slices in part) and each result written once."""
    if instruction.opcode in NO_TRAFFIC or instruction.opcode.endswith("-done"):
        return 0
    if instruction.opcode in ("copy-start", "slice-start"):  # (from, to) or (to, from), and a semaphore
        ends = instruction.result[:2]
        return min(array.stored for array in ends) * sum(array.in_hbm for array in ends)
    read = sum(_read(program, instruction, position, array)
               for position, name in enumerate(instruction.operands)
               for array in parent.instructions[name].result if array.in_hbm)
    return read + sum(_written(program, instruction, parent, leaf)
                      for leaf, array in enumerate(instruction.result) if array.in_hbm)


def _read(program: Program, user: Instruction, position: int, array: Array) -> int:
    """Return how many bytes of an operand an instruction reads."""
    if user.opcode in SLICES and position == 0:
        return min(array.stored, user.result[0].stored)
    if user.opcode == "dynamic-update-slice" and position == 0:
        return 0
    if user.opcode != "fusion":
        return array.stored
    inner = program.computations[user.attribute("calls")]
    return min(array.stored, _read_within(program, inner, inner.parameters[position].name, array))


def _read_within(program: Program, inner: Computation, value: str, array: Array) -> int:
    """Return how many bytes of a fusion's operand are read by all its users in the fusion together."""
    total = 0
    for user in inner.users(value):
        if user.opcode == "bitcast":
            total += _read_within(program, inner, user.name, array)
        else:
            total += _read(program, user, user.operands.index(value), array)
    return total


def _written(program: Program, instruction: Instruction, parent: Computation, leaf: int) -> int:
    """Return how many bytes of a result an instruction writes; for an in-place update, those of the update."""
    if instruction.opcode == "dynamic-update-slice":
        return parent.instructions[instruction.operands[1]].result[0].stored
    if instruction.opcode == "bitcast":
        operand = parent.instructions[instruction.operands[0]]
        return _written(program, operand, parent, 0)
    if instruction.opcode == "fusion":
        inner = program.computations[instruction.attribute("calls")]
        root = inner.root
        if root.opcode == "tuple":
            return _written(program, inner.instructions[root.operands[leaf]], inner, 0)
        return _written(program, root, inner, leaf)
    return instruction.result[leaf].stored
