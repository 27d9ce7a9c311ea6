"""From the configs of finished runs back to the commands that make them again."""

import ast
import importlib.util
from collections.abc import Mapping
from pathlib import Path

from mai_jax import config as config_lib
from mai_jax.config import Config
from mai_jax.data.sources import NAMED

PLACES = ("config.data.train", "config.data.test")  # folders are of somebody's machine


def commands(configs: Mapping[str, Config], files: Path) -> list[str]:
    """`tables.py` with the file of `files` that comes closest and what differs from it: one command, and one for each
    group of methods if their settings differ.
    """
    closest = min((_changes(configs, file) for file in sorted(files.glob("*.py"))),
                  key=lambda changes: sum(map(len, changes[1].values())))
    file, changes = closest
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, flags in changes.items():
        groups.setdefault(tuple(flags), []).append(name)
    data = next(iter(configs.values())).data
    places = [f"--{field}=DIR/{part}" for field, part in zip(PLACES, ("train", "test"), strict=True)
              if getattr(data, part) not in (*NAMED, "")]
    return [_wrapped(["python tables.py", f"--config={files.name}/{file.name}", *places, *flags,
                      f"--methods={','.join(names)}", "--workdir=RUN"]) for flags, names in groups.items()]


def _changes(configs: Mapping[str, Config], file: Path) -> tuple[Path, dict[str, list[str]]]:
    """The flags that turn the configs of the file into these."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    flags = {name: [_flag(line) for line in config_lib.differences(module.get_config(name), config)
                    if not line.startswith(PLACES)] for name, config in configs.items()}
    return file, flags


def _flag(difference: str) -> str:
    field, _, change = difference.partition(": ")
    value = ast.literal_eval(change.rpartition(" -> ")[2])
    shown = str(tuple(value)).replace(" ", "") if isinstance(value, list) else str(value)
    return f"--{field}='{shown}'" if isinstance(value, list) else f"--{field}={shown}"


def _wrapped(words: list[str]) -> str:
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) > 115:
            lines[-1] += " \\"
            lines.append("   ")
        lines[-1] += f" {word}"
    return "\n".join(lines)
