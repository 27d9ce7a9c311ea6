"""The methods, one file per paper, behind the interface of `base.Model`."""

import importlib
import re
from collections.abc import Callable

from mai_jax import config as config_lib
from mai_jax.config import Config
from mai_jax.errors import InputError
from mai_jax.models.base import Model
from mai_jax.models.edge_connect import EdgeConnect
from mai_jax.models.lama import LaMa
from mai_jax.models.mai import MAI
from mai_jax.models.pconv import PConv, PublicPConv
from mai_jax.models.pic import PIC

MODELS: dict[str, type[Model]] = {
    "mai": MAI, "pconv": PConv, "pconv_public": PublicPConv, "edge_connect": EdgeConnect, "pic": PIC,
    "lama": LaMa,
}  # fmt: skip
# Titles in tables and figures: the methods of the paper's tables in their order, then others; see `title`.
TITLES = {"pic": "PIC", "pconv": "PConv", "edge_connect": "EdgeConnect", "mai": "MAI", "pconv_public": "PConv (public)",
          "lama": "LaMa"}  # fmt: skip
INTERFACE = ("prepare", "make_optimizers", "init", "loss", "predict")  # methods of every `Model`


def model_class(method: str) -> Callable[..., Model]:
    """Return the class of a `config.method`: that of a key of MODELS, or "package.module:Class", which is imported.

    Raises InputError if there is no such key, the import fails, or what it gives is not a `Model`.
    """
    if method in MODELS:
        return MODELS[method]
    setting = f"config.method={method!r}"
    if not re.fullmatch(r"\w+(\.\w+)*:\w+", method):
        raise InputError(f"{setting}: no such method; there are {', '.join(MODELS)}, and package.module:Class for one "
                         "of your own")
    module, _, name = method.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # the module may run any code
        raise InputError(f"{setting}: cannot be imported ({type(error).__name__}: {error}); install the package of "
                         f"{module} or put its folder on PYTHONPATH") from error
    missing = [part for part in INTERFACE if not callable(getattr(found, part, None))]
    if not isinstance(found, type) or missing:
        problem = f"lacks {', '.join(missing)}" if isinstance(found, type) else "is no class"
        raise InputError(f"{setting}: {name} {problem}; docs/extending.md describes what a method needs")
    return found


def create_model(config: Config, phase: str = "main") -> Model:
    """Return the method of a config in a phase of its training. It holds no parameters: see `base.Model`.

    Raises InputError for a config that no run could use.
    """
    config_lib.check(config)
    return model_class(config.method)(config, phase)


def title(method: str) -> str:
    """Return the name of a method in tables: its title, or else its key in MODELS or the name of its class."""
    return TITLES.get(method, method.rpartition(":")[2])
