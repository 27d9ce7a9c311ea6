"""mkdocs.yml lists every page, and the reference shows every package with an interface for other programs.

`make docs` builds the site itself; there a link to a missing page or heading is an error.
"""

import pydoc
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
COMMANDS_ONLY = {"cli", "compare", "demo", "doctor", "configs", "__main__"}  # described by their pages and by --help
INTERNAL = {"unpickle"}
SHOWN = [name for page in sorted(DOCS.rglob("*.md")) for name in re.findall(r"^::: (\S+)$", page.read_text(), re.M)]


def test_the_site_has_every_page():
    listed = re.findall(r"^ +- [^:\n]+: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


def test_the_reference_shows_every_module():
    there = {path.name.removesuffix(".py") for path in (ROOT / "mai_jax").iterdir()
             if path.name[0] != "_" and (path.suffix == ".py" or (path / "__init__.py").exists())}
    whole = {name.split(".")[1] for name in SHOWN if name.count(".") == 1}
    assert whole == there - COMMANDS_ONLY - INTERNAL


@pytest.mark.parametrize("name", SHOWN)
def test_what_the_reference_shows_exists_and_has_a_docstring(name):
    assert pydoc.locate(name).__doc__
