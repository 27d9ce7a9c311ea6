"""Parsing of compiled XLA programs: instructions, and how often each of them is executed."""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

_COMPUTATION = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"\s+(ROOT )?%?([\w.\-]+) = (.+?) ([a-z][\w\-]*)\(([^)]*)\)(.*)")
_ARRAY = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\](?:\{([^}]*)\})?")
_NAME = re.compile(r"%([\w.\-]+)")
_TILE = re.compile(r"T\(([\d,]+)\)")

COPIES = {"copy", "copy-start", "copy-done", "bitcast"}  # opcodes whose result has the value of their operand


class Array(NamedTuple):
    """One array of the result of an instruction."""

    dtype: str  # f32, bf16, s32, pred, ...
    shape: tuple[int, ...]
    layout: str  # as printed: axes from minor to major, tiles T(..), memory space S(..)

    @property
    def bytes(self) -> int:
        """Return the size of the elements in bytes."""
        return math.prod(self.shape) * self._bits // 8

    @property
    def stored(self) -> int:
        """Return the size in memory in bytes, padded to whole tiles."""
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
        """Return whether the array is in HBM, not in another memory space."""
        return "S(" not in self.layout

    @property
    def _bits(self) -> int:
        digits = re.search(r"\d+", self.dtype)
        return int(digits[0]) if digits else 8  # pred; the shape of a token is irrelevant


class Instruction(NamedTuple):
    """An HLO instruction."""

    name: str
    result: tuple[Array, ...]  # the leaves of a tuple
    opcode: str
    operands: tuple[str, ...]
    content: str  # the text between the brackets, e.g. the value of a constant
    rest: str  # attributes, as printed

    def attribute(self, name: str) -> str:
        """Return the value of an attribute without braces, or "" if it is absent."""
        match = re.search(rf"[ {{]{name}=(?:{{([^}}]*)}}|%?([^\s,}}]+))", self.rest)
        return (match[1] or match[2] or "") if match else ""

    def integers(self, name: str) -> list[int]:
        """Return the value of an attribute that is a list of integers."""
        return _integers(self.attribute(name))


class Computation(NamedTuple):
    """An HLO computation: instructions by name, and the one with its result."""

    instructions: dict[str, Instruction]
    root: Instruction

    @property
    def parameters(self) -> list[Instruction]:
        """Return the parameters in order."""
        parameters = [i for i in self.instructions.values() if i.opcode == "parameter"]
        return sorted(parameters, key=lambda parameter: int(parameter.content))

    def users(self, name: str) -> list[Instruction]:
        """Return the instructions with `name` as an operand."""
        return [i for i in self.instructions.values() if name in i.operands]


class Program:
    """A compiled program, from its text: computations by name, and the name of the entry computation."""

    def __init__(self, text: str) -> None:
        self.computations: dict[str, Computation] = {}
        name, instructions, root = "", {}, None
        for line in text.splitlines():
            if match := _COMPUTATION.match(line):
                name, instructions, root = match[2], {}, None
                if match[1]:
                    self.entry = name
            elif match := _INSTRUCTION.match(line):
                result = tuple(Array(dtype, tuple(_integers(shape)), layout or "")
                               for dtype, shape, layout in _ARRAY.findall(match[3]))
                operands = tuple(_NAME.findall(match[5]))
                instruction = Instruction(match[2], result, match[4], operands, match[5], match[6])
                instructions[instruction.name] = instruction
                root = instruction if match[1] else root
            elif line.startswith("}") and root is not None:
                self.computations[name] = Computation(instructions, root)

    def executed(self, computation: str = "", times: int = 1) -> Iterator[tuple[Instruction, Computation, int]]:
        """Yield every instruction outside of fusions, its computation, and how often it is executed.

        Every branch of a conditional counts as executed. The conditions of loops are left out: they compute one scalar,
        and a GPU executes a loop of known length without. Raises ValueError for a loop with an unknown trip count.
        """
        current = self.computations[computation or self.entry]
        for instruction in current.instructions.values():
            yield instruction, current, times
            if instruction.opcode == "while":
                yield from self.executed(instruction.attribute("body"), times * self.trips(instruction, current))
            elif instruction.opcode == "conditional":
                branches = instruction.attribute("branch_computations") or " ".join(
                    f"%{instruction.attribute(f'{side}_computation')}" for side in ("true", "false"))
                for branch in _NAME.findall(branches):
                    yield from self.executed(branch, times)
            elif instruction.opcode in ("call", "async-start"):
                yield from self.executed(instruction.attribute("to_apply") or instruction.attribute("calls"), times)

    def trips(self, loop: Instruction, parent: Computation) -> int:
        """Return the trip count of a while loop: as annotated by XLA, or from start, step and bound of its counter.

        Raises ValueError if it is unknown.
        """
        if match := re.search(r'"known_trip_count":\{"n":"(\d+)"\}', loop.rest):
            return int(match[1])
        condition, body = (self.computations[loop.attribute(name)] for name in ("condition", "body"))
        test = condition.root
        if test.opcode == "compare" and test.attribute("direction") == "LT":
            counter = condition.instructions[test.operands[0]]
            index = int(counter.attribute("index") or -1)
            start = _constant(parent, parent.instructions[loop.operands[0]].operands[index])
            bound = _constant(condition, test.operands[1])
            step = _step(body, body.root.operands[index])
            if None not in (start, bound, step):
                return max(0, -(-(bound - start) // step))
        raise ValueError(f"{loop.name}: the compiled text does not say how often this loop is executed")


def _constant(computation: Computation, name: str) -> int | None:
    """Return the value of a scalar, None if it is no constant."""
    instruction = computation.instructions[name]
    while instruction.opcode in COPIES:
        instruction = computation.instructions[instruction.operands[0]]
    return int(instruction.content) if instruction.opcode == "constant" else None


def _step(body: Computation, name: str) -> int | None:
    """Return the constant that a loop adds to its counter, None if it is unknown."""
    addition = body.instructions[name]
    while addition.opcode in COPIES:
        addition = body.instructions[addition.operands[0]]
    if addition.opcode != "add":
        return None
    return next((value for operand in addition.operands if (value := _constant(body, operand))), None)


def _integers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]
