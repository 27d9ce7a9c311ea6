"""The installation: versions, the devices that JAX sees, and what does not fit together."""

import importlib.metadata
import os
import platform
from collections import Counter
from collections.abc import Iterator

import jax
import jaxlib
from packaging.requirements import Requirement

from mai_jax import accelerators
from mai_jax.doctor.report import Finding, Section

# Plugins of JAX. The packages of CUDA have the version of jaxlib.
CUDA_PACKAGES = ("jax-cuda13-plugin", "jax-cuda13-pjrt", "jax-cuda12-plugin", "jax-cuda12-pjrt")
PLUGINS = (*CUDA_PACKAGES, "libtpu")
BACKENDS = {"gpu": "cuda", "tpu": "tpu"}  # extra: JAX's name of the backend


def section() -> Section:
    """Return the section on the installation. Starts JAX's backends."""
    installed = {name: version for name in PLUGINS if (version := _version(name))}
    devices = Counter(device.device_kind for device in jax.devices())
    facts = [
        f"Python {platform.python_version()}, mai_jax {_version('mai_jax')}, jax {jax.__version__}, jaxlib "
        f"{jaxlib.__version__}",
        f"JAX's plugins: {', '.join(f'{name} {version}' for name, version in installed.items()) or 'none'}",
        f"devices: {', '.join(f'{count} x {kind}' for kind, count in devices.items())}",
    ]  # fmt: skip
    return Section("installation", facts, [*_unmet(), *_mismatches(installed), *_unused()])


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _unmet() -> Iterator[Finding]:
    """Yield a finding for each requirement of the package that is missing or has another version."""
    for text in importlib.metadata.requires("mai_jax") or ():
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = _version(requirement.name)
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            yield Finding("error", f"{requirement.name} is {version or 'not installed'}, mai_jax needs {requirement}",
                          "install mai_jax again: pip install .")


def _mismatches(installed: dict[str, str]) -> Iterator[Finding]:
    """Yield a finding for each part of JAX whose version is not that of jaxlib."""
    for name in CUDA_PACKAGES:
        if name in installed and installed[name] != jaxlib.__version__:
            yield Finding("error", f"{name} is {installed[name]}, jaxlib {jaxlib.__version__}: JAX does not load it",
                          "install them together: pip install --upgrade 'mai_jax[gpu]'")


def _unused() -> Iterator[Finding]:
    """Yield a finding if an accelerator of this machine is not used, with JAX's own reason."""
    if sentence := accelerators.unused():
        yield Finding("error", sentence, f"JAX says: {_reason(sentence)}")


def _reason(sentence: str) -> str:
    extra = next(kind.extra for name, kind in accelerators.KINDS.items() if name in sentence)
    if os.environ.get("JAX_PLATFORMS"):
        return "nothing, because JAX_PLATFORMS excludes it"
    try:
        jax.devices(BACKENDS[extra])
    except RuntimeError as error:
        return str(error).splitlines()[0]
    return "nothing"
