"""The compared methods: names of `mai_jax.variants` (methods and ablations), each with its config and folder."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mai_jax import config as config_lib
from mai_jax.config import Config
from mai_jax.errors import InputError
from mai_jax.models import TITLES, model_class
from mai_jax.training import continuation
from mai_jax.variants import VARIANTS, variant


class Method(NamedTuple):
    """A method of a comparison."""

    name: str
    config: Config
    workdir: Path

    @property
    def title(self) -> str:
        """Return the name in tables and pictures."""
        return title(self.name)

    def is_trained(self) -> bool:
        """Return whether all steps are done. Raises InputError if the folder has a run with another config."""
        reader = continuation.latest(self.config, self.workdir)
        return reader is not None and reader.step == self.config.total_steps


def title(name: str) -> str:
    """Return the name in tables and pictures."""
    return TITLES.get(name, name.replace("mai_no_", "MAI without ").replace("mai_", "MAI, ").replace("_", " "))


def make_methods(config: Config, names: Sequence[str], workdir: Path) -> list[Method]:
    """Return the methods `names`, each with a subfolder of `workdir` named after it.

    Checks the inputs of all trainings before the first one starts. Raises InputError if a name, a config or an input
    file is unusable.
    """
    if config.method != Config().method:
        raise InputError(f"config.method={config.method!r}: the methods are set by --methods=...; do not set it here")
    if unknown := [name for name in names if name not in VARIANTS]:
        raise InputError(f"--methods: there is no {unknown[0]!r}; there are {', '.join(VARIANTS)}")
    if not names:
        raise InputError("--methods=: is empty; give names, as in --methods=pconv,mai")
    if duplicates := [name for name in names if names.count(name) > 1]:
        raise InputError(f"--methods: {duplicates[0]} is given twice; give it once")
    methods = [Method(name, variant(copy.deepcopy(config), name), workdir / name) for name in names]
    for method in methods:
        config_lib.check(method.config)
        if not method.is_trained():
            model_class(method.config.method)(method.config).prepare()
    return methods
