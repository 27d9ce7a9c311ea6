"""Imports point one way: types <- nn <- models <- training | inference <- evaluation | repair <- scripts."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# What a place may import from the package, besides its own folder.
NN = {"types", "config"}
MODELS = NN | {"nn", "losses"}
TRAINING = MODELS | {"models", "data", "checkpoint", "logbook", "visualize", "files", "command"}
INFERENCE = MODELS | {"models", "checkpoint", "visualize", "files", "subcommands"}
EVALUATION = INFERENCE | {"inference", "data"}
REPAIR = {"types", "inference", "photos", "data", "files", "command", "visualize"}
ALLOWED = {
    "types": set(), "files": set(), "config": {"types"}, "data": {"types", "config"},
    "data/doctor": TRAINING | {"training", "evaluation"},  # a command: nothing imports it
    "nn": NN, "losses": {"types", "nn"}, "models": MODELS,
    "models/convert": MODELS | {"models", "checkpoint", "files", "subcommands"},  # a command: no method imports it
    "checkpoint": {"types", "config"}, "logbook": {"types", "files"}, "visualize": {"types"},
    "training": TRAINING, "inference": INFERENCE, "evaluation": EVALUATION,
    "compilation_cache": set(), "variants": {"types", "config"},
    "subcommands": {"types"},
    "command": {"types", "config", "compilation_cache"},
    "comparison": EVALUATION | {"config", "variants", "training", "evaluation"},
    "photos": {"types"}, "repair": REPAIR, "demo": REPAIR | {"repair"},
}  # fmt: skip
COMMANDS = ("models/convert", "data/doctor")
FILES = sorted((ROOT / "mai_jax").rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The first name below mai_jax of everything that the file imports from the package."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "mai_jax":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mai_jax."):
            names.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("mai_jax.")}
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    inside = path.relative_to(ROOT / "mai_jax")
    place = next(filter(inside.is_relative_to, COMMANDS), inside.parts[0].removesuffix(".py"))
    if place == "__init__":
        return
    wrong = imported(path) - ALLOWED[place] - {place}
    assert not wrong, f"{path.relative_to(ROOT)} must not import {wrong}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_hold_one_idea(path):
    assert len(path.read_text().splitlines()) <= 300


def test_scripts_are_thin():
    for path in ROOT.glob("*.py"):
        assert len(path.read_text().splitlines()) <= 60, path
