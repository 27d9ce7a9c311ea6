"""requirements.lock: every package of constraints.txt's versions, with hashes, and nothing missing."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
ENTRY = re.compile(r"^(?P<requirement>[^\s#-].*?)(?P<hashes>( \\\n    --hash=sha256:[0-9a-f]{64})+)\n", re.MULTILINE)
EXTRAS = ("classical", "demo", "heif")


def locked():
    text = (ROOT / "requirements.lock").read_text()
    assert ENTRY.sub("", text) == ""  # no entry without a hash, and no address of a server
    requirements = [Requirement(match["requirement"]) for match in ENTRY.finditer(text)]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def test_versions_are_those_of_the_tests():
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    tested = {canonicalize_name(name): version for name, _, version in (pin.partition("==") for pin in pins) if version}
    for name, requirement in locked().items():
        (specifier,) = requirement.specifier
        assert specifier.operator == "=="
        # Packages of other platforms and Pythons are not part of the tests.
        assert tested.get(name) == specifier.version or requirement.marker


def test_every_requirement_is_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    wanted += [line for extra in EXTRAS for line in project["optional-dependencies"][extra]]
    packages = locked()
    for line in wanted:
        requirement = Requirement(line)
        (specifier,) = packages[canonicalize_name(requirement.name)].specifier
        assert specifier.version in requirement.specifier
