"""The parts of the training step in its compiled program: what each executes and moves."""

import re
from collections import Counter
from collections.abc import Mapping

from tools import roofline
from tools.hlo import Instruction, Program
from tools.roofline import Moved


def parts(text: str) -> Mapping[str, Moved]:
    """Return the executed operations, and bytes to and from HBM, by part of the step; the most bytes first.

    `text` is that of a compiled program (`Compiled.as_text()`). A fusion is one operation, on a GPU one kernel. Raises
    ValueError for an unknown trip count.
    """
    program = Program(text)
    found: dict[str, Moved] = {}
    for instruction, parent, times in program.executed():
        if executes(instruction):
            name, moved = _part(program, instruction), times * roofline.hbm_bytes(program, instruction, parent)
            before = found.get(name, Moved(0, 0))
            found[name] = Moved(before.count + times, before.bytes + moved)
    return dict(sorted(found.items(), key=lambda item: -item[1].bytes))


def executes(instruction: Instruction) -> bool:
    """Return whether an instruction is an operation, not a name for values or the end of one that was counted."""
    return instruction.opcode not in roofline.NO_TRAFFIC and not instruction.opcode.endswith("-done")


def inside(program: Program, fusion: Instruction) -> list[Instruction]:
    """Return the instructions of a fusion, of nested fusions too; the instruction itself if it is none."""
    if fusion.opcode != "fusion":
        return [fusion]
    inner = program.computations[fusion.attribute("calls")].instructions.values()
    return [i for outer in inner for i in inside(program, outer)]


def _part(program: Program, instruction: Instruction) -> str:
    """Return the part of the step that an instruction belongs to: that of most of its operations, by their names."""
    names = [match[1] for i in (instruction, *inside(program, instruction))
             if (match := re.search(r'op_name="([^"]*)"', i.rest))]  # fmt: skip
    return Counter(map(_part_of_name, names)).most_common(1)[0][0] if names else "copies and constants"


def _part_of_name(name: str) -> str:
    """Return the part of the step from the name of an operation, as JAX writes it from the function that called it."""
    if name.startswith("jit(step)/vmap("):
        return "holes"
    module = re.search(r"/(attention_\w+)/", name) or re.search(r"\b([A-Z]\w+)", name)
    if not (module or "jvp(" in name):
        return "optimizer"
    return f"{module[1] if module else 'losses'}, {'backward' if 'transpose(jvp(' in name else 'forward'}"
