"""Writes docs/dependencies.md: every package of constraints.txt, its licence, and what it is needed for.

python docs/dependencies.py

Reads what the installed packages say of themselves (pip install '.[dev]' --constraint constraints.txt). A licence that
is unknown, or neither on PERMISSIVE nor an open exception, ends it with one line.
"""

import importlib.metadata as metadata
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mai_jax.comparison.page import aligned
from mai_jax.files import write_whole
from mai_jax.subcommands import Parser, run
from mai_jax.types import InputError

HERE = Path(__file__).parent
CONSTRAINTS, REQUIREMENTS = HERE.parent / "constraints.txt", HERE.parent / "requirements.txt"
PERMISSIVE = {"MIT", "MIT-CMU", "BSD", "BSD-2-Clause", "BSD-3-Clause", "0BSD", "Apache-2.0", "ISC", "PSF-2.0", "Zlib",
              "CC0-1.0", "BSL-1.0", "Apache-2.0 WITH LLVM-exception"}  # fmt: skip
# Weak copyleft that asks nothing of who uses the package unchanged. One by one, so that no other slips in.
EXCEPTIONS = {"certifi": "MPL-2.0", "hypothesis": "MPL-2.0", "orjson": "MPL-2.0", "tqdm": "MPL-2.0"}
# Packages whose metadata are silent, by the licence file that they bring.
BY_FILE = {"jax2onnx": "Apache-2.0"}
SAID = {"Apache 2.0": "Apache-2.0", "Apache License": "Apache-2.0", "Apache Software License": "Apache-2.0",
        "MIT License": "MIT", "3-Clause BSD License": "BSD-3-Clause", "BSD License": "BSD", "ISC License": "ISC",
        "ISC License (ISCL)": "ISC"}  # fmt: skip
LONGEST = 40  # characters of a licence's name: longer ones are texts
ABOUT = """\
# Dependencies

Made by `python docs/dependencies.py` from constraints.txt and what the installed packages say of themselves; it refuses
a licence that is not permissive. The exceptions, under MPL-2.0, ask nothing of who uses them unchanged:
{exceptions}.
"Run time" is what requirements.txt needs; the rest belongs to the extras of pyproject.toml and to the tests.

Known vulnerabilities of these versions: `python docs/vulnerabilities.py` asks osv.dev, where the advisories of PyPI and
GitHub are kept, and ends with exit code 1 if there are any.
"""


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("--output", type=Path, default=HERE / "dependencies.md")
    given = parser.parse_args()
    names = constrained(CONSTRAINTS)
    needed = closure(REQUIREMENTS)
    rows = [["package", "version", "licence", "for"]]
    purposes = {name: "run time" if canonicalize_name(name) in needed else "extras, tests" for name in names}
    rows += [[name, version, licence(name, version), purposes[name]] for name, version in names.items()]
    about = ABOUT.format(exceptions=", ".join(EXCEPTIONS))
    write_whole(given.output, f"{about}\n{aligned(rows, words=4)}\n".encode())


def constrained(path: Path) -> dict[str, str]:
    """Name: version, of a constraints file. Raises InputError for a line that pins nothing."""
    found = {}
    for line in path.read_text().splitlines():
        content = line.partition("#")[0].strip()
        if content:
            name, pinned, version = content.partition("==")
            if not pinned:
                raise InputError(f"{path}: {content!r} pins no version; write NAME==VERSION")
            found[name] = version
    return found


def licence(name: str, version: str) -> str:
    """What the installed package says. Raises InputError unless it is that version and its licence is one of ours."""
    try:
        installed = metadata.distribution(name)
    except metadata.PackageNotFoundError as reason:
        raise InputError(f"{name}: is not installed; pip install '.[dev]' --constraint constraints.txt") from reason
    if installed.version.partition("+")[0] != version:
        raise InputError(f"{name}: {installed.version} is installed and constraints.txt says {version}; install that")
    said = next(_said(installed.metadata), BY_FILE.get(name, ""))
    if not said:
        raise InputError(f"{name}: its metadata name no licence; read its licence file and add it to BY_FILE")
    if odd := [part for part in said.replace("(", "").replace(")", "").split(" AND ") if not _is_fine(part, name)]:
        raise InputError(f"{name}: its licence, {odd[0]}, is not on the list of permissive ones; replace the package, "
                         "or name it as an exception")
    return said


def _is_fine(part: str, name: str) -> bool:
    return any(choice in PERMISSIVE or choice == EXCEPTIONS.get(name) for choice in part.split(" OR "))


def _said(described: metadata.PackageMetadata) -> Iterator[str]:
    """The licence by the newest field that names one."""
    if expression := described.get("License-Expression"):
        yield expression
    named = (described.get("License") or "").strip()
    if 0 < len(named) <= LONGEST and "\n" not in named and named != "Apache License":
        yield SAID.get(named, named)
    classes = [line.rpartition("::")[2].strip() for line in described.get_all("Classifier", ()) if "License ::" in line]
    if classes:
        yield " AND ".join(SAID.get(name, name) for name in classes)
    first = named.partition("\n")[0].strip()
    if first in SAID:
        yield SAID[first]


def closure(requirements: Path) -> set[str]:
    """The canonical names of all that the packages of a requirements file need on this machine."""
    lines = [line.partition("#")[0].strip() for line in requirements.read_text().splitlines()]
    waiting, seen = [(Requirement(line), "") for line in lines if line], set()
    found = set()
    while waiting:
        wanted, extra = waiting.pop()
        name = canonicalize_name(wanted.name)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        found.add(name)
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        for need in map(Requirement, needs):
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                waiting += [(need, wanting) for wanting in ("", *need.extras)]
    return found


if __name__ == "__main__":
    raise SystemExit(run(main))
