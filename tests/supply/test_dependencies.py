"""docs/dependencies.md is of constraints.txt, and no licence gets in unseen."""

import importlib.metadata
import importlib.util
from email.message import Message
from pathlib import Path
from types import SimpleNamespace

import pytest

from mai_jax.types import InputError

DOCS = Path(__file__).parents[2] / "docs"
SPEC = importlib.util.spec_from_file_location("dependencies", DOCS / "dependencies.py")
dependencies = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(dependencies)


def test_the_page_lists_what_is_constrained():
    rows = [line.split("|")[1:3] for line in (DOCS / "dependencies.md").read_text().splitlines() if line[:1] == "|"]
    listed = {name.strip(): version.strip() for name, version in rows[2:]}
    assert listed == dependencies.constrained(dependencies.CONSTRAINTS), "run python docs/dependencies.py"


def told(monkeypatch, version="1.0", **fields) -> str:
    """What is said of a package whose metadata hold these fields."""
    described = Message()
    for name, values in fields.items():
        for value in values if isinstance(values, list) else [values]:
            described[name.replace("_", "-")] = value
    installed = SimpleNamespace(version=version, metadata=described)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: installed)
    return dependencies.licence("thing", "1.0")


@pytest.mark.parametrize(("fields", "said"), [
    ({"License_Expression": "MIT", "License": "GPL"}, "MIT"),
    ({"License_Expression": "BSD-3-Clause AND (GPL-2.0 OR MIT)"}, "BSD-3-Clause AND (GPL-2.0 OR MIT)"),
    ({"License": "Apache 2.0"}, "Apache-2.0"),
    ({"Classifier": ["Programming Language :: C", "License :: OSI Approved :: MIT License"]}, "MIT"),
    ({"License": "Copyright\n" * 99, "Classifier": "License :: OSI Approved :: BSD License"}, "BSD"),
    ({"version": "1.0+cpu", "License": "MIT"}, "MIT"),
])
def test_licences_are_named_in_one_way(monkeypatch, fields, said):
    assert told(monkeypatch, **fields) == said


@pytest.mark.parametrize(("fields", "said"), [
    ({}, "name no licence"), ({"License": "GPL-3.0"}, "GPL-3.0, is not on the list"),
    ({"License_Expression": "MIT AND GPL-3.0"}, "GPL-3.0, is not"), ({"License": "MPL-2.0"}, "MPL-2.0, is not"),
    ({"version": "2.0", "License": "MIT"}, "constraints.txt says 1.0"),
    ({"Classifier": "License :: Other/Proprietary License"}, "Proprietary"),
])
def test_a_licence_that_is_not_listed_is_refused(monkeypatch, fields, said):
    with pytest.raises(InputError, match=f"^thing: .*{said}"):
        told(monkeypatch, **fields)


def test_a_package_that_is_not_there_is_named():
    with pytest.raises(InputError, match="no-such-package: is not installed"):
        dependencies.licence("no-such-package", "1")


def test_a_line_that_pins_nothing_is_refused(tmp_path):
    (tmp_path / "constraints.txt").write_text("# words\nnumpy>=2\n")
    with pytest.raises(InputError, match="pins no version"):
        dependencies.constrained(tmp_path / "constraints.txt")
