"""docs/dependencies.md agrees with constraints.txt, and only accepted licences pass."""

import importlib.metadata
from email.message import Message
from pathlib import Path
from types import SimpleNamespace

import pytest

from mai_jax.errors import InputError
from tools import dependencies

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_lists_the_constraints():
    rows = [line.split("|")[1:3] for line in (DOCS / "dependencies.md").read_text().splitlines() if line[:1] == "|"]
    listed = {name.strip(): version.strip() for name, version in rows[2:]}
    assert listed == dependencies.pinned_versions(dependencies.CONSTRAINTS), "run python -m tools.dependencies"


def licence_of(monkeypatch, version="1.0", **fields) -> str:
    """Return the licence of a package whose metadata have these fields."""
    metadata = Message()
    for name, values in fields.items():
        for value in values if isinstance(values, list) else [values]:
            metadata[name.replace("_", "-")] = value
    installed = SimpleNamespace(version=version, metadata=metadata)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: installed)
    return dependencies.licence("thing", "1.0")


@pytest.mark.parametrize(("fields", "expected"), [
    ({"License_Expression": "MIT", "License": "GPL"}, "MIT"),
    ({"License_Expression": "BSD-3-Clause AND (GPL-2.0 OR MIT)"}, "BSD-3-Clause AND (GPL-2.0 OR MIT)"),
    ({"License": "Apache 2.0"}, "Apache-2.0"),
    ({"Classifier": ["Programming Language :: C", "License :: OSI Approved :: MIT License"]}, "MIT"),
    ({"License": "Copyright\n" * 99, "Classifier": "License :: OSI Approved :: BSD License"}, "BSD"),
    ({"version": "1.0+cpu", "License": "MIT"}, "MIT"),
])
def test_licence_names_are_normalised(monkeypatch, fields, expected):
    assert licence_of(monkeypatch, **fields) == expected


@pytest.mark.parametrize(("fields", "message"), [
    ({}, "name no licence"), ({"License": "GPL-3.0"}, "GPL-3.0, is not on the list"),
    ({"License_Expression": "MIT AND GPL-3.0"}, "GPL-3.0, is not"), ({"License": "MPL-2.0"}, "MPL-2.0, is not"),
    ({"version": "2.0", "License": "MIT"}, "constraints.txt says 1.0"),
    ({"Classifier": "License :: Other/Proprietary License"}, "Proprietary"),
])
def test_a_licence_that_is_not_listed_is_rejected(monkeypatch, fields, message):
    with pytest.raises(InputError, match=f"^thing: .*{message}"):
        licence_of(monkeypatch, **fields)


def test_a_missing_package_is_named():
    with pytest.raises(InputError, match="no-such-package: is not installed"):
        dependencies.licence("no-such-package", "1")


def test_a_line_that_pins_no_version_is_rejected(tmp_path):
    (tmp_path / "constraints.txt").write_text("# words\nnumpy>=2\n")
    with pytest.raises(InputError, match="pins no version"):
        dependencies.pinned_versions(tmp_path / "constraints.txt")
