"""What a compiled program costs, and the least time that a chip needs for it.

Differs from `Compiled.cost_analysis()` in that the body of a loop counts as often as it runs, and that bytes are those
which pass between HBM and the chip, not those that stay on it. Products count, those of dots and convolutions; other
arithmetic is no work of the matrix units. Kernels that are custom calls are not seen into.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mai_jax.training.hlo import Array, Computation, Instruction, Program


class Chip(NamedTuple):
    """Public figures of a chip, per second."""

    flops: float  # bfloat16, in which the matrix units multiply float32 too, by default
    hbm: float  # bytes of memory
    hbm_rate: float  # bytes between memory and chip
    ici_rate: float  # bytes to all neighbours: half of what the documents call bidirectional


# Google's public Cloud TPU documentation, docs.cloud.google.com/tpu/docs/v5e, v5p and v6e.
CHIPS = {
    "v5e": Chip(197e12, 16e9, 819e9, 200e9),
    "v5p": Chip(459e12, 95e9, 2765e9, 600e9),
    "v6e": Chip(918e12, 32e9, 1640e9, 400e9),
}


class Moved(NamedTuple):
    """How many collectives of a kind run in a step, and the bytes of one chip's arrays that they work on."""

    count: int
    bytes: int


class Costs(NamedTuple):
    """Per chip and step."""

    flops: int
    hbm_bytes: int
    collectives: Mapping[str, Moved]


class Times(NamedTuple):
    """Seconds that one step takes at least, by what it is spent on."""

    matrix_units: float
    hbm: float
    ici: float

    @property
    def bound(self) -> str:
        return max(zip(self, ("matrix units", "HBM", "ICI"), strict=True))[1]


def times(costs: Costs, chip: Chip, chips: int) -> Times:
    """The roofline. An all-reduce goes round a ring: every chip sends 2 (n - 1) / n of the bytes."""
    sent = sum(moved.bytes * (2 if kind == "all-reduce" else 1) for kind, moved in costs.collectives.items())
    ici = sent * (chips - 1) / chips / chip.ici_rate
    return Times(costs.flops / chip.flops, costs.hbm_bytes / chip.hbm_rate, ici)


COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")

# They name or regroup values, or hand over to a computation whose instructions count themselves.
MOVE_NOTHING = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional", "call",
                "after-all", "partition-id", "async-start"}  # fmt: skip
SLICES = {"slice", "dynamic-slice", "gather"}  # they read as much as they give


def costs(text: str) -> Costs:
    """The costs of a compiled program from `Compiled.as_text()`. Raises ValueError for a loop of unknown length."""
    program = Program(text)
    flops = hbm_bytes = 0
    collectives: dict[str, Moved] = {}
    for instruction, around, count in program.executed():
        flops += count * _flops(program, instruction, around)
        hbm_bytes += count * _hbm_bytes(program, instruction, around)
        kind = instruction.opcode.removesuffix("-start")
        if kind in COLLECTIVES:
            given = sum(array.bytes for name in instruction.operands for array in around.instructions[name].result)
            size = given if kind != "all-gather" else sum(array.bytes for array in instruction.result)
            before = collectives.get(kind, Moved(0, 0))
            collectives[kind] = Moved(before.count + count, before.bytes + count * size)
    return Costs(flops, hbm_bytes, collectives)


def _flops(program: Program, instruction: Instruction, around: Computation) -> int:
    """Two per multiplication that counts; none for one with padding, or with a zero between dilated elements."""
    if instruction.opcode == "fusion":
        inner = program.computations[instruction.attribute("calls")]
        return sum(_flops(program, i, inner) for i in inner.instructions.values())
    if instruction.opcode not in ("dot", "convolution"):
        return 0
    left, right = (around.instructions[name].result[0].shape for name in instruction.operands)
    out = instruction.result[0].shape
    if instruction.opcode == "dot":
        contracted = [left[axis] for axis in instruction.integers("lhs_contracting_dims")]
        return 2 * math.prod(out) * math.prod(contracted)
    inputs, kernel, outputs = instruction.attribute("dim_labels").replace("->", "_").split("_")
    window = dict(part.split("=") for part in instruction.attribute("window").split())
    result = 2 * out[outputs.index("b")] * out[outputs.index("f")] * right[kernel.index("i")]
    for axis in range(len(outputs) - 2):
        sizes = (array[labels.index(str(axis))]
                 for array, labels in ((left, inputs), (right, kernel), (out, outputs)))
        result *= _valid(*sizes, {name: values.split("x")[axis] for name, values in window.items()})
    return result


def _valid(size: int, kernel: int, out: int, window: Mapping[str, str]) -> int:
    """Pairs of an output and a kernel position, along one axis, that meet an element of the input."""
    stride, dilation, holes = (int(window.get(name, 1)) for name in ("stride", "rhs_dilate", "lhs_dilate"))
    pad = int(window.get("pad", "0_0").split("_")[0])
    place = np.arange(out)[:, None] * stride + np.arange(kernel)[None] * dilation - pad
    return int(((place >= 0) & (place <= (size - 1) * holes) & (place % holes == 0)).sum())


def _hbm_bytes(program: Program, instruction: Instruction, around: Computation) -> int:
    """Every operand is read once and every result written once, if it lies in HBM; of slices only what is asked for."""
    if instruction.opcode in MOVE_NOTHING or instruction.opcode.endswith("-done"):
        return 0
    if instruction.opcode in ("copy-start", "slice-start"):  # (from, to) or (to, from), and a semaphore
        ends = instruction.result[:2]
        return min(array.stored for array in ends) * sum(array.in_hbm for array in ends)
    read = sum(_read(program, instruction, position, array)
               for position, name in enumerate(instruction.operands)
               for array in around.instructions[name].result if array.in_hbm)
    return read + sum(_written(program, instruction, around, leaf)
                      for leaf, array in enumerate(instruction.result) if array.in_hbm)


def _read(program: Program, user: Instruction, position: int, array: Array) -> int:
    """How many bytes of an operand an instruction reads."""
    if user.opcode in SLICES and position == 0:
        return min(array.stored, user.result[0].stored)
    if user.opcode == "dynamic-update-slice" and position == 0:
        return 0
    if user.opcode != "fusion":
        return array.stored
    inner = program.computations[user.attribute("calls")]
    return min(array.stored, _read_within(program, inner, inner.parameters[position].name, array))


def _read_within(program: Program, inner: Computation, value: str, array: Array) -> int:
    """How many bytes of a fusion's operand all its users there read, each for itself."""
    total = 0
    for user in inner.users(value):
        if user.opcode == "bitcast":
            total += _read_within(program, inner, user.name, array)
        else:
            total += _read(program, user, user.operands.index(value), array)
    return total


def _written(program: Program, instruction: Instruction, around: Computation, leaf: int) -> int:
    """How many bytes of a result an instruction writes: of an update in place, the update."""
    if instruction.opcode == "dynamic-update-slice":
        return around.instructions[instruction.operands[1]].result[0].stored
    if instruction.opcode == "bitcast":
        operand = around.instructions[instruction.operands[0]]
        return _written(program, operand, around, 0)
    if instruction.opcode == "fusion":
        inner = program.computations[instruction.attribute("calls")]
        root = inner.root
        if root.opcode == "tuple":
            return _written(program, inner.instructions[root.operands[leaf]], inner, 0)
        return _written(program, root, inner, leaf)
    return instruction.result[leaf].stored
