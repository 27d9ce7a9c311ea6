"""The structure of the package: imports point from the shell to the core, and files and scripts stay small."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the core to the shell. A file may import from its own package and from layers before its own.
LAYERS = (
    ("errors",),
    ("accelerators", "batch", "config_fields", "files", "packaged_models", "unpickle"),
    ("config",),
    ("variants", "visualize"),
    ("data", "image_io", "nn"),
    ("losses", "metrics"),
    ("models",),
    ("training",),
    ("inference",),
    ("evaluation",),
    ("compare", "convert", "demo", "doctor"),
    ("cli",),
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
FILES = sorted((ROOT / "mai_jax").rglob("*.py"))
FACES = ("__init__", "__main__")  # of the whole package


def place(path: Path) -> str:
    """Return the first name below mai_jax."""
    return path.relative_to(ROOT / "mai_jax").parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Return the first name below mai_jax of everything that the file imports from the package."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "mai_jax":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mai_jax."):
            names.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("mai_jax.")}
    return names - {"__version__"}


def test_every_file_has_a_layer():
    assert {place(path) for path in FILES} - set(FACES) == set(RANK)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_to_the_core(path):
    here = place(path)
    if here in FACES:
        return
    wrong = {name for name in imported(path) - {here} if RANK[name] >= RANK[here]}
    assert not wrong, f"{path.relative_to(ROOT)} must not import {wrong}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_package_imports_no_tools_or_tests(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert not {name.split(".")[0] for name in names} & {"tools", "tests", "benchmarks", "configs"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_small(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, f"{node.name} has {node.end_lineno - node.lineno + 1} lines"


def test_scripts_are_thin():
    for path in ROOT.glob("*.py"):
        assert len(path.read_text().splitlines()) <= 30, path


def definitions(path: Path) -> set[str]:
    """Return the names of functions and classes in a file, methods as "Class.method"."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def test_the_walks_of_the_architecture_page_name_functions_that_exist():
    """docs/architecture.md names them as `path/file.py:function`."""
    named = re.findall(r"`([\w/]+\.py):([\w.]+)`", (ROOT / "docs" / "architecture.md").read_text())
    assert len(named) > 30
    for file, name in named:
        path = next((p for p in (ROOT / "mai_jax" / file, ROOT / file) if p.is_file()), None)
        assert path is not None, f"docs/architecture.md names {file}, which does not exist"
        assert name in definitions(path), f"docs/architecture.md names {file}:{name}, which does not exist"
