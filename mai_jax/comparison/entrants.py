"""Who is compared: methods and ablations by their names in `variants`, each with its own config and folder."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mai_jax import config as config_lib
from mai_jax.config import Config
from mai_jax.models import MODELS, TITLES
from mai_jax.training import resume
from mai_jax.types import InputError
from mai_jax.variants import VARIANTS, variant


class Entrant(NamedTuple):
    name: str
    config: Config
    workdir: Path

    @property
    def title(self) -> str:
        return title(self.name)

    def finished(self) -> bool:
        """Whether all steps are done. Raises InputError if the folder holds the run of another config."""
        reader = resume.newest(self.config, self.workdir)
        return reader is not None and reader.step == self.config.total_steps


def title(name: str) -> str:
    """The name in tables and pictures."""
    return TITLES.get(name, name.replace("mai_no_", "MAI without ").replace("mai_", "MAI, ").replace("_", " "))


def enter(config: Config, names: Sequence[str], workdir: Path) -> list[Entrant]:
    """The entrants, in folders below `workdir` that bear their names.

    All that stands in the way of a training is found here, before the first one: raises InputError.
    """
    if config.method != Config().method:
        raise InputError(f"config.method={config.method!r}: the methods are named by --methods=...; leave it out here")
    if unknown := [name for name in names if name not in VARIANTS]:
        raise InputError(f"--methods: there is no {unknown[0]!r}; there are {', '.join(VARIANTS)}")
    if not names:
        raise InputError("--methods=: names nobody; give some, as in --methods=pconv,mai")
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"--methods: {twice[0]} is named twice; name it once")
    entrants = [Entrant(name, variant(copy.deepcopy(config), name), workdir / name) for name in names]
    for entrant in entrants:
        config_lib.check(entrant.config)
        if not entrant.finished():
            MODELS[entrant.config.method](entrant.config).prepare()
    return entrants
