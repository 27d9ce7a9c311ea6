"""Fields of the config dataclasses: a default, a meaning and limits in one place; checks and JSON conversion.

`option` declares a field. `check_fields`, `to_json`, `from_json`, `flatten` and `describe` read the declarations.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, get_args, get_origin

from mai_jax.errors import InputError

KINDS = {int: "a whole number", float: "a finite number", str: "text", bool: "true or false"}


class Limits(NamedTuple):
    """What a value must satisfy. `rule` is a predicate and what an error says if it is false."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    rule: tuple[Callable[[Any], bool], str] | None = None

    def problem(self, value: Any) -> str | None:
        """Return what the value violates, as in "must be at least 1", or None."""
        if self.at_most is not None and value > self.at_most:
            return f"must be at most {self.at_most}"
        if self.at_least is not None and value < self.at_least:
            return "must not be negative" if self.at_least == 0 else f"must be at least {self.at_least}"
        if self.above is not None and value <= self.above:
            return "must be positive" if self.above == 0 else f"must be above {self.above}"
        if self.below is not None and value >= self.below:
            return f"must be below {self.below}"
        if self.choices and value not in self.choices:
            return f"must be {_listed(self.choices)}"
        if self.rule and not self.rule[0](value):
            return self.rule[1]
        return None


class FieldInfo(NamedTuple):
    """One field of a config: its dotted name without "config.", its value and its meaning."""

    name: str
    value: Any
    meaning: str


def option(default: Any, meaning: str, **limits: Any) -> Any:
    """Declare a config field with its default, its meaning in one sentence, and the keywords of `Limits`."""
    return dataclasses.field(default=default, metadata={"meaning": meaning, "limits": Limits(**limits)})


def check_fields(section: Any, name: str) -> None:
    """Raise InputError, naming the field, for the first value of another type or outside its limits."""
    for field in dataclasses.fields(section):
        value, full_name = getattr(section, field.name), f"{name}.{field.name}"
        kind = field.type
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and isinstance(value, kind):
            check_fields(value, full_name)
            continue
        converted = _of_kind(kind, value, full_name)
        limits = field.metadata.get("limits", Limits())
        if problem := limits.problem(converted):
            raise InputError(f"{full_name}={value!r}: {problem}")


def describe(section: Any, prefix: str = "") -> Iterator[FieldInfo]:
    """Yield every field in declaration order, nested sections flattened."""
    for field in dataclasses.fields(section):
        value, name = getattr(section, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from describe(value, f"{name}.")
        else:
            yield FieldInfo(name, value, field.metadata.get("meaning", ""))


def to_json(value: Any) -> Any:
    """Return `dataclasses.asdict` of a config as JSON values: tuples become lists."""
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def from_json(cls: type, values: Any, name: str) -> Any:
    """Return the dataclass that `to_json` wrote. A missing field takes its default.

    Raises InputError for an unknown field or a value of another type.
    """
    if not isinstance(values, dict):
        raise InputError(f"{name}={values!r}: must be fields with values; mai_jax did not write it")
    kinds: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(cls)}
    made = {}
    if unknown := sorted(set(values) - set(kinds)):
        raise InputError(f"{name}: field {unknown[0]} is unknown; the checkpoint was written by another version of "
                         "mai_jax: use that version")
    for key, value in values.items():
        value = tuple(value) if isinstance(value, list) else value
        convert = from_json if dataclasses.is_dataclass(kinds[key]) else _of_kind
        made[key] = convert(kinds[key], value, f"{name}.{key}")
    return cls(**made)


def flatten(values: dict[str, Any], name: str) -> dict[str, Any]:
    """Return nested dicts as one, keyed by dotted names that start with `name`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{name}.{key}") if isinstance(value, dict) else {f"{name}.{key}": value}
    return flat


def is_rising(values: tuple[float, ...]) -> bool:
    """Return whether there are two or more values, each larger than the one before."""
    return len(values) >= 2 and all(a < b for a, b in itertools.pairwise(values))


def _of_kind(kind: Any, value: Any, name: str) -> Any:
    """Return the value, integers as floats where a float is declared. Raises InputError for another type."""
    if get_origin(kind) is tuple and type(value) is tuple:
        return tuple(_of_kind(get_args(kind)[0], item, name) for item in value)
    number = kind is float and type(value) in (int, float)
    if not (abs(value) < 1e300 if number else type(value) is kind):
        raise InputError(f"{name}={value!r}: must be {KINDS.get(kind, kind)}")
    return float(value) if number else value


def _listed(choices: tuple[str, ...]) -> str:
    return f"{', '.join(choices[:-1])} or {choices[-1]}"
