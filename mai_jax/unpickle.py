"""Read the pickles of tensors and arrays that PyTorch and NumPy write without executing them.

A pickle is a program for a stack machine. This one implements only the instructions that `torch.save` writes
(protocol 2, from Python 2 and 3), and byte strings (protocol 3), in which NumPy stores numbers. It creates dicts,
lists, tuples, strings and numbers, and calls only the functions that it is given. Objects of classes that it is told to
expect become `Attributes`.
"""

import io
import itertools
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

from mai_jax.errors import InputError

LITERALS = {"BINUNICODE", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BININT", "BININT1", "BININT2",
            "LONG1", "BINFLOAT"}  # fmt: skip
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
MARK = object()
MAX_INSTRUCTIONS = 1_000_000  # about 40 per tensor

Stack = list[Any]


class Attributes(dict):
    """What is kept of an object of a class that is not imported: its items if it is a container, and its attributes."""

    state: Any = None  # the attributes, a dict in most cases; never copied, as a hostile pickle could repeat that


class ClassName(str):
    """The name of a class whose objects become `Attributes`; nothing is called by it."""


def ignore(value: Any, state: Any) -> None:
    """Set no attributes: the default of `load`."""


def load(
    file: io.BytesIO, names: Mapping[str, Any], persistent_load: Callable[..., Any] | None = None,
    set_state: Callable[[Any, Any], None] = ignore, is_class: Callable[[str], bool] = lambda name: False,
) -> Any:  # fmt: skip
    """Return the object of the next pickle in the file, which is left open at the pickle's end.

    `names` maps the names in the pickle ("module name") to objects, `persistent_load` the persistent identifiers.
    `set_state` is called with an object and the attributes that the pickle gives it. `is_class` says which other names
    are classes whose objects become `Attributes`.

    Raises InputError for an unknown name or instruction. A damaged pickle raises exceptions of many types, without
    side effects.
    """
    stack: Stack = []
    memo: dict[int, Any] = {}
    argument: Any  # an int, float, str or None, depending on the instruction
    for opcode, argument, _ in itertools.islice(pickletools.genops(file), MAX_INSTRUCTIONS):
        name = opcode.name
        if name == "STOP":
            return stack.pop()
        if name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "GLOBAL":
            if argument not in names and not is_class(argument):
                raise InputError(f"refers to {argument[:80]!r}, which is not executed; give the file of a state dict")
            stack.append(names[argument] if argument in names else ClassName(argument))
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(Attributes() if isinstance(function, ClassName) else function(*arguments))
        elif name == "NEWOBJ" and isinstance(stack[-2], ClassName):
            stack[-2:] = [Attributes()]
        elif name == "BINPERSID" and persistent_load is not None:
            stack.append(persistent_load(*stack.pop()))
        elif name == "BUILD":
            state = stack.pop()
            if isinstance(stack[-1], Attributes):
                stack[-1].state = state
            else:
                set_state(stack[-1], state)
        elif name != "PROTO":
            _collect(name, argument, stack)
    raise InputError(f"its pickle has more than {MAX_INSTRUCTIONS} instructions; give the file of a state dict")


def _collect(name: str, argument: Any, stack: Stack) -> None:
    """Execute an instruction that creates values or fills a container."""
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
        # No other types: the hash of deeply nested tuples would overflow the interpreter's stack.
        keys = (_require(key, (str, int)) for key in items[::2])
        _require(stack[-1], dict).update(zip(keys, items[1::2], strict=True))
    else:
        raise InputError(f"its pickle has the instruction {name}, which torch.save does not write; save it again")


def _pop(stack: Stack, count: int) -> list[Any]:
    """Remove and return the top `count` values, the topmost last."""
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
        raise TypeError(f"unexpected {type(value).__name__}")
    return value
