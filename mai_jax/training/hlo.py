"""The text of a program that XLA compiled, as instructions, and how often each of them runs."""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

_COMPUTATION = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"\s+(ROOT )?%?([\w.\-]+) = (.+?) ([a-z][\w\-]*)\(([^)]*)\)(.*)")
_ARRAY = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\](?:\{([^}]*)\})?")
_NAME = re.compile(r"%([\w.\-]+)")
_TILE = re.compile(r"T\(([\d,]+)\)")

PASS_ON = {"copy", "copy-start", "copy-done", "bitcast"}  # their result has the value of their operand


class Array(NamedTuple):
    """One array of an instruction's result."""

    item: str  # f32, bf16, s32, pred, ...
    shape: tuple[int, ...]
    layout: str  # as printed: axes from minor to major, tiles T(..), memory space S(..)

    @property
    def bytes(self) -> int:
        """What its numbers take."""
        return math.prod(self.shape) * self._bits // 8

    @property
    def stored(self) -> int:
        """What it takes in memory, whole tiles only."""
        axes, _, rest = self.layout.partition(":")
        tile = _TILE.match(rest)
        if not tile or not self.shape:
            return self.bytes
        sides = [self.shape[int(axis)] for axis in axes.split(",")]
        for i, side in enumerate(reversed(_integers(tile[1]))):
            if i < len(sides):
                sides[i] = -(-sides[i] // side) * side
        return math.prod(sides) * self._bits // 8

    @property
    def in_hbm(self) -> bool:
        return "S(" not in self.layout

    @property
    def _bits(self) -> int:
        digits = re.search(r"\d+", self.item)
        return int(digits[0]) if digits else 8  # pred; a token has no shape that matters


class Instruction(NamedTuple):
    name: str
    result: tuple[Array, ...]  # of a tuple, its leaves
    opcode: str
    operands: tuple[str, ...]
    between: str  # what stands between the brackets, such as the value of a constant
    rest: str  # attributes, as printed

    def attribute(self, name: str) -> str:
        """Its value without braces, or "" where it is not given."""
        found = re.search(rf"[ {{]{name}=(?:{{([^}}]*)}}|%?([^\s,}}]+))", self.rest)
        return (found[1] or found[2] or "") if found else ""

    def integers(self, name: str) -> list[int]:
        return _integers(self.attribute(name))


class Computation(NamedTuple):
    instructions: dict[str, Instruction]
    root: Instruction

    @property
    def parameters(self) -> list[Instruction]:
        found = [i for i in self.instructions.values() if i.opcode == "parameter"]
        return sorted(found, key=lambda parameter: int(parameter.between))

    def users(self, name: str) -> list[Instruction]:
        return [i for i in self.instructions.values() if name in i.operands]


class Program:
    """All computations of a compiled program."""

    def __init__(self, text: str) -> None:
        self.computations: dict[str, Computation] = {}
        name, instructions, root = "", {}, None
        for line in text.splitlines():
            if begin := _COMPUTATION.match(line):
                name, instructions, root = begin[2], {}, None
                if begin[1]:
                    self.entry = name
            elif found := _INSTRUCTION.match(line):
                result = tuple(Array(item, tuple(_integers(shape)), layout or "")
                               for item, shape, layout in _ARRAY.findall(found[3]))
                operands = tuple(_NAME.findall(found[5]))
                instruction = Instruction(found[2], result, found[4], operands, found[5], found[6])
                instructions[instruction.name] = instruction
                root = instruction if found[1] else root
            elif line.startswith("}") and root is not None:
                self.computations[name] = Computation(instructions, root)

    def executed(self, computation: str = "", times: int = 1) -> Iterator[tuple[Instruction, Computation, int]]:
        """Every instruction outside of fusions, the computation that it is in, and how often it runs.

        Of the branches of a conditional each counts as taken. Raises ValueError for a loop whose length is not in the
        text.
        """
        here = self.computations[computation or self.entry]
        for instruction in here.instructions.values():
            yield instruction, here, times
            if instruction.opcode == "while":
                trips = times * self.trips(instruction, here)
                yield from self.executed(instruction.attribute("body"), trips)
                yield from self.executed(instruction.attribute("condition"), trips)
            elif instruction.opcode == "conditional":
                branches = instruction.attribute("branch_computations") or " ".join(
                    f"%{instruction.attribute(f'{side}_computation')}" for side in ("true", "false"))
                for branch in _NAME.findall(branches):
                    yield from self.executed(branch, times)
            elif instruction.opcode in ("call", "async-start"):
                yield from self.executed(instruction.attribute("to_apply") or instruction.attribute("calls"), times)

    def trips(self, loop: Instruction, around: Computation) -> int:
        """How often a while loop runs its body: as XLA notes it, or from its counter's start, step and bound."""
        if noted := re.search(r'"known_trip_count":\{"n":"(\d+)"\}', loop.rest):
            return int(noted[1])
        condition, body = (self.computations[loop.attribute(name)] for name in ("condition", "body"))
        test = condition.root
        if test.opcode == "compare" and test.attribute("direction") == "LT":
            counter = condition.instructions[test.operands[0]]
            index = int(counter.attribute("index") or -1)
            start = _constant(around, around.instructions[loop.operands[0]].operands[index])
            bound = _constant(condition, test.operands[1])
            step = _step(body, body.root.operands[index])
            if None not in (start, bound, step):
                return max(0, -(-(bound - start) // step))
        raise ValueError(f"{loop.name}: the compiled text does not say how often this loop runs")


def _constant(computation: Computation, name: str) -> int | None:
    """The value of a scalar, if it is a constant."""
    instruction = computation.instructions[name]
    while instruction.opcode in PASS_ON:
        instruction = computation.instructions[instruction.operands[0]]
    return int(instruction.between) if instruction.opcode == "constant" else None


def _step(body: Computation, name: str) -> int | None:
    """The constant that a loop adds to its counter."""
    addition = body.instructions[name]
    while addition.opcode in PASS_ON:
        addition = body.instructions[addition.operands[0]]
    if addition.opcode != "add":
        return None
    return next((value for operand in addition.operands if (value := _constant(body, operand))), None)


def _integers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]
