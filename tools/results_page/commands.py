"""The commands that reproduce finished runs, derived from their configs."""

import ast
import importlib.util
from collections.abc import Mapping
from pathlib import Path

from mai_jax import config as config_lib
from mai_jax.config import Config
from mai_jax.data.sources import NAMED

FOLDERS = ("config.data.train", "config.data.test")  # machine-specific paths, replaced by DIR


def commands(configs: Mapping[str, Config], files: Path) -> list[str]:
    """Return the commands: `tables.py` with the most similar config file of `files` and flags for the differences.

    There is one command for each group of methods with equal flags.
    """
    candidates = (_differing_flags(configs, file) for file in sorted(files.glob("*.py")))
    file, flags_by_method = min(candidates, key=lambda candidate: sum(map(len, candidate[1].values())))
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, flags in flags_by_method.items():
        groups.setdefault(tuple(flags), []).append(name)
    data = next(iter(configs.values())).data
    folders = [f"--{field}=DIR/{part}" for field, part in zip(FOLDERS, ("train", "test"), strict=True)
               if getattr(data, part) not in (*NAMED, "")]
    return [_wrap(["python tables.py", f"--config={files.name}/{file.name}", *folders, *flags,
                   f"--methods={','.join(names)}", "--workdir=RUN"]) for flags, names in groups.items()]


def _differing_flags(configs: Mapping[str, Config], file: Path) -> tuple[Path, dict[str, list[str]]]:
    """Return the file, and by method the flags that change its config into that of the method."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    flags = {name: [_flag(line) for line in config_lib.differences(module.get_config(name), config)
                    if not line.startswith(FOLDERS)] for name, config in configs.items()}
    return file, flags


def _flag(difference: str) -> str:
    field, _, change = difference.partition(": ")
    value = ast.literal_eval(change.rpartition(" -> ")[2])
    text = str(tuple(value)).replace(" ", "") if isinstance(value, list) else str(value)
    return f"--{field}='{text}'" if isinstance(value, list) else f"--{field}={text}"


def _wrap(words: list[str]) -> str:
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) > 115:
            lines[-1] += " \\"
            lines.append("   ")
        lines[-1] += f" {word}"
    return "\n".join(lines)
