"""Print every field of a config as the flag that sets it, with its meaning.

    mai config
    mai config --config=places2:pic --config.batch_size=12

A field marked * differs from its default, which is shown in brackets. Without --config all fields have their defaults.
"""

import argparse
import os
import shlex
import sys
from typing import Any

from mai_jax.cli import config_argument
from mai_jax.config import Config, check
from mai_jax.config_fields import describe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    config_argument.add_config(parser)


def run(given: argparse.Namespace) -> None:
    config = config_argument.load(given) if given.config else config_argument.with_overrides(Config(), given)
    check(config)
    try:
        print(text(config), flush=True)
    except BrokenPipeError:  # the reader has ended, as in `mai config | head`: drop the rest, which exit would flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def text(config: Config) -> str:
    """Return one line per field: its flag with its value, its meaning, and the default if the value differs."""
    rows = []
    for field, default in zip(describe(config), describe(Config()), strict=True):
        changed = field.value != default.value
        note = f" [default: {_shown(default.value)}]" if changed else ""
        rows.append((f"{'*' if changed else ' '} --config.{field.name}={_shown(field.value)}", field.meaning + note))
    width = max(len(flag) for flag, _ in rows)
    return "\n".join(f"{flag:{width}}   {meaning}" for flag, meaning in rows)


def _shown(value: Any) -> str:
    """Return a value as it is written on a command line."""
    if isinstance(value, tuple):
        value = str(value).replace(" ", "")
    return shlex.quote(str(value).lower() if isinstance(value, bool) else str(value))
