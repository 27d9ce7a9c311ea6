"""Argument parsing of all commands: an `argparse` parser with one spelling rule, and types with limits.

Hyphens and underscores in flag names are the same: --mask-means and --mask_means. A switch takes --report, --no-report,
--noreport, --report=true and --report=false.
"""

import argparse
import contextlib
import difflib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from mai_jax.errors import InputError

BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
MASK_MEANS = ("hole", "valid", "known")
OVERRIDE = "--config.FIELD"


class Switch(argparse.Action):
    """A flag that is on or off, off by default."""

    def __init__(self, option_strings: Sequence[str], dest: str, default: bool = False, **settings: Any) -> None:
        (name,) = (option.removeprefix("--") for option in option_strings)
        super().__init__([f"--{name}", f"--no-{name}", f"--no{name}"], dest, nargs=0, default=default, **settings)

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, option_string == self.option_strings[0])


class Parser(argparse.ArgumentParser):
    """Parser whose errors are InputError and whose help shows the default of every flag.

    `positional` are the flags that a message suggests for arguments without a flag, in their usual order.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=_Formatter, allow_abbrev=False, **settings)
        self.positional: tuple[str, ...] = ()

    def parse(self, arguments: Sequence[str] | None = None) -> argparse.Namespace:
        """Return the values of `arguments`, by default those of the process.

        Raises InputError for an unknown flag, a value that does not fit, and a missing argument.
        """
        # Checked afterwards: argparse would report a missing flag before an argument that should have been its value.
        required = [action for action in self._actions if action.required and action.option_strings]
        arguments = sys.argv[1:] if arguments is None else arguments
        with _optional([] if {"-h", "--help"} & set(arguments) else required):
            values, rest = self.parse_known_args(arguments)
        if rest:
            self.error(_unexpected(rest, self, values))
        if missing := [action.option_strings[0] for action in required if getattr(values, action.dest) is None]:
            self.error(f"the following arguments are required: {', '.join(missing)}{_example(self)}")
        return values

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse with flag names in their declared spelling. Subparsers are called here too."""
        args = sys.argv[1:] if args is None else args
        return super().parse_known_args(_declared(list(args), self._option_string_actions), namespace)

    def format_help(self) -> str:
        """Return the help, followed by the help of every subcommand."""
        subcommands = [parser for action in self._actions if isinstance(action.choices, dict)
                       for parser in action.choices.values()]  # fmt: skip
        return "\n\n".join([super().format_help(), *(parser.format_help() for parser in subcommands)])

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def integer(at_least: int, at_most: int | None = None) -> Callable[[str], int]:
    """Return an argument type: a whole number within limits, both included."""

    def parsed(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"invalid int value: {text!r}") from None
        if value < at_least:
            raise argparse.ArgumentTypeError(f"{text}: must be at least {at_least}")
        if at_most is not None and value > at_most:
            raise argparse.ArgumentTypeError(f"{text}: must be at most {at_most}")
        return value

    return parsed


def comma_list(text: str) -> list[str]:
    """Return the parts of "a,b" without surrounding spaces; none for an empty text."""
    return [part.strip() for part in text.split(",")] if text.strip() else []


def add_mask_means(parser: argparse.ArgumentParser, help: str) -> None:
    """Add --mask-means."""
    parser.add_argument("--mask-means", choices=MASK_MEANS, default="hole", help=f"{help}; known is the same as valid")


def add_mask_reading(parser: argparse.ArgumentParser, flag: str) -> None:
    """Add --mask-means and --mask-threshold, which say how the mask files of `flag` are read."""
    add_mask_means(parser, f"what white means in {flag}, or a colour, or the strokes of a layer")
    parser.add_argument("--mask-threshold", type=integer(at_least=1, at_most=255), metavar="BRIGHTNESS",
                        help="pixels of this brightness and above count as white; default: masks of two values")


def _declared(arguments: list[str], actions: dict[str, argparse.Action]) -> list[str]:
    """Return the arguments with flag names as declared in `actions`, and overrides as values of --config.FIELD."""
    declared: list[str] = []
    while arguments:
        argument = arguments.pop(0)
        if argument == "--":
            return [*declared, argument, *arguments]
        if argument.startswith("--config.") and OVERRIDE in actions:
            following = arguments.pop(0) if _takes_next(argument, arguments) else None
            declared.append(f"{OVERRIDE}={argument}" if following is None else f"{OVERRIDE}={argument}={following}")
            continue
        name, equals, value = argument.partition("=")
        hyphened = name.replace("_", "-")
        if argument.startswith("--") and hyphened in actions:
            name = hyphened
            if isinstance(actions[name], Switch) and value.lower() in BOOLEANS:
                on = BOOLEANS[value.lower()] == (name == actions[name].option_strings[0])
                name, equals, value = actions[name].option_strings[0 if on else 1], "", ""
        declared.append(f"{name}{equals}{value}")
    return declared


def _takes_next(override: str, following: list[str]) -> bool:
    """Return whether the next argument is the value of `override`, as in --config.seed 3."""
    return "=" not in override and bool(following) and not following[0].startswith("--")


@contextlib.contextmanager
def _optional(actions: Sequence[argparse.Action]) -> Iterator[None]:
    for action in actions:
        action.required = False
    try:
        yield
    finally:
        for action in actions:
            action.required = True


def _unexpected(rest: Sequence[str], parser: Parser, values: argparse.Namespace) -> str:
    """Return the message for arguments that the parser does not take."""
    argument, plain = rest[0], [argument for argument in rest if not argument.startswith("-")]
    if argument.startswith("-"):
        name = argument.partition("=")[0].replace("_", "-")
        near = difflib.get_close_matches(name, parser._option_string_actions, n=1, cutoff=0.75)
        return f"unknown flag {argument}" + (f"; did you mean {near[0]}?" if near else "")
    free = [flag for flag in parser.positional if flag not in _given(parser, values)]
    flags = " ".join(f"{flag}={value}" for flag, value in zip(free, plain, strict=False))
    suggested = flags if flags and len(plain) <= len(free) else "--name=value"
    is_expanded = len(free) < len(parser.positional)  # perhaps by the shell
    pattern = "; put a pattern in quotes, as in '*.jpg', or name its folder" if is_expanded else ""
    return f"unexpected argument {argument!r}; every setting is a flag: {suggested}{pattern}"


def _given(parser: Parser, values: argparse.Namespace) -> set[str]:
    """Return the flags whose value is not the default."""
    return {option for action in parser._actions for option in action.option_strings
            if getattr(values, action.dest, action.default) != action.default}


def _example(parser: Parser) -> str:
    """Return the first example of the description as part of a message, "" without."""
    lines = (line.strip() for line in (parser.description or "").splitlines())
    example = next((line for line in lines if line.startswith(f"{parser.prog} ")), "")
    return f"; for example: {example}" if example else ""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help with the default of every flag, and flags as --name=VALUE."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32)

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        if action.required and action.option_strings:
            return f"{text} (required)"
        if isinstance(action, Switch):
            return f"{text} (default: {'on' if action.default else 'off'})"
        if action.default in (None, argparse.SUPPRESS, []) or not action.option_strings:
            return text
        default = ",".join(map(str, action.default)) if isinstance(action.default, (list, tuple)) else action.default
        return f"{text} (default: {str(default).replace('%', '%%')})"

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if isinstance(action, Switch):
            return ", ".join(action.option_strings[:2])
        if not action.option_strings or action.nargs is not None:
            return super()._format_action_invocation(action)
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return ", ".join(f"{option}={value}" for option in action.option_strings)
