"""What `torch.save` pickled, read without executing it.

A pickle is a program for a stack machine. The machine here knows only the instructions that `torch.save` writes
(protocol 2), calls only functions of a table that it is given, and else makes dicts, lists, tuples, strings, numbers.
"""

import io
import itertools
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

from mai_jax.types import InputError

LITERALS = {"BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
MARK = object()
MOST_INSTRUCTIONS = 1_000_000  # some forty for each tensor

Stack = list[Any]


def load(file: io.BytesIO, table: Mapping[str, Any], stored: Callable[..., Any]) -> Any:
    """The next pickle of the file, which stays open behind it.

    `table` says what the names ("module name") in the pickle stand for, `stored` makes an object that is kept elsewhere
    of its identifier. Raises InputError for a name or an instruction that is not known. A damaged pickle raises one
    of many exceptions; none of them has any effect.
    """
    stack: Stack = []
    memo: dict[int, Any] = {}
    for opcode, argument, _ in itertools.islice(pickletools.genops(file), MOST_INSTRUCTIONS):
        name = opcode.name
        if name == "STOP":
            return stack.pop()
        if name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "GLOBAL":
            if argument not in table:
                raise InputError(f"refers to {argument[:80]!r}, which is not executed; give the file of a state dict")
            stack.append(table[argument])
        elif name == "REDUCE":
            arguments = stack.pop()
            stack.append(stack.pop()(*arguments))
        elif name == "BINPERSID":
            stack.append(stored(*stack.pop()))
        elif name == "BUILD":
            stack.pop()  # attributes of the object before it: none that is made here has any
        elif name != "PROTO":
            _collect(name, argument, stack)
    raise InputError(f"its pickle has more than {MOST_INSTRUCTIONS} instructions; give the file of a state dict")


def _collect(name: str, argument: Any, stack: Stack) -> None:
    """The instructions that make values and fill containers."""
    if name in LITERALS:
        stack.append(argument)
    elif name in CONSTANTS:
        stack.append(CONSTANTS[name])
    elif name in EMPTY:
        stack.append(EMPTY[name]())
    elif name == "MARK":
        stack.append(MARK)
    elif name in TUPLES:
        stack.append(tuple(_pop(stack, TUPLES[name])))
    elif name == "TUPLE":
        stack.append(tuple(_pop_to_mark(stack)))
    elif name in ("APPEND", "APPENDS"):
        items = _pop(stack, 1) if name == "APPEND" else _pop_to_mark(stack)
        _require(stack[-1], list).extend(items)
    elif name in ("SETITEM", "SETITEMS"):
        items = _pop(stack, 2) if name == "SETITEM" else _pop_to_mark(stack)
        # Nothing but these two: the hash of a tuple in tuples without end would overflow the interpreter's own stack.
        keys = (_require(key, (str, int)) for key in items[::2])
        _require(stack[-1], dict).update(zip(keys, items[1::2], strict=True))
    else:
        raise InputError(f"its pickle has the instruction {name}, which torch.save does not write; save it anew")


def _pop(stack: Stack, count: int) -> list[Any]:
    """The topmost values, the last one last."""
    items = stack[-count:]
    if len(items) < count:
        raise ValueError("the stack is too short")
    del stack[-count:]
    return items


def _pop_to_mark(stack: Stack) -> list[Any]:
    items = []
    while (item := stack.pop()) is not MARK:
        items.append(item)
    return items[::-1]


def _require(value: Any, kind: type | tuple[type, ...]) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"a {type(value).__name__} where it cannot be")
    return value
