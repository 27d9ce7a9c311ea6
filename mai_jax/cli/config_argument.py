"""The arguments --config=NAME|FILE[:VARIANT] and --config.FIELD=VALUE: from their text to a `Config`.

A config file defines `get_config(variant)`, which returns a `Config`. A NAME is one of the configs that are installed
with the package, such as quickstart. A VARIANT is a name of mai_jax/variants.py.
"""

import argparse
import ast
import dataclasses
import difflib
import importlib.util
import traceback
import warnings
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, get_args, get_origin

import mai_jax
from mai_jax.cli.arguments import BOOLEANS, OVERRIDE, Switch, comma_list
from mai_jax.config import Config
from mai_jax.config_fields import KINDS, FieldInfo, describe
from mai_jax.errors import InputError, RunError

if TYPE_CHECKING:
    from mai_jax.training.continuation import StartOptions

CONFIG_HELP = "a config: quickstart, places2, ... or a file, with :VARIANT for another method or an ablation"
QUOTES = ("'", '"')


def add_config(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add --config and its overrides. The namespace gets `config` and `overrides`, which `load` reads."""
    none = "; no default" if default is None else ""
    parser.add_argument("--config", metavar="NAME[:VARIANT]", default=default, help=f"{CONFIG_HELP}{none}")
    parser.add_argument(OVERRIDE, metavar="VALUE", action="append", dest="overrides", default=argparse.SUPPRESS,
                        help="override a field of the config; `mai config --config=NAME` lists all, with the default "
                             "of each")  # fmt: skip


def add_start(parser: argparse.ArgumentParser) -> None:
    """Add the flags of how a training starts in its folder; `start` returns their values."""
    parser.add_argument("--init-from", metavar="DIR[@STEP]", default="",
                        help="a run, or converted weights, whose parameters and statistics a new run starts with; "
                             "default: random parameters")
    parser.add_argument("--init-partial", action=Switch,
                        help="take what fits from --init-from and list the rest; otherwise all must fit")
    parser.add_argument("--continue-with", type=comma_list, default=[], metavar="FIELD,...",
                        help="fields of the config, or sections such as losses, that may differ from those of the run "
                             "in --workdir; default: none, but a run may get more steps")  # fmt: skip


def start(given: argparse.Namespace) -> "StartOptions":
    """Return the values of the flags of `add_start`. Raises InputError for a field that may not change."""
    from mai_jax.training.continuation import StartOptions

    return StartOptions(tuple(given.continue_with), given.init_from, given.init_partial)


def load(given: argparse.Namespace) -> Config:
    """Return the config of --config with its overrides applied; `config.check` is left to the caller.

    Raises InputError if there is no such config, field or variant, or a value has another type.
    """
    if given.config is None:
        raise InputError(f"no config; give --config=quickstart, another name of {', '.join(installed())}, or a file")
    return with_overrides(load_config(given.config), given)


def load_config(name: str) -> Config:
    """Return the config of an installed name such as "quickstart", or of a file, as --config of the commands takes it.

    ":VARIANT" after it selects another method or an ablation, as in "places2:pic". The fields may then be set; a
    misspelt one is an AttributeError. Raises InputError if there is no such config or variant.
    """
    path, _, variant = name.partition(":")
    return load_file(find(path), variant)


def with_overrides(config: Config, given: argparse.Namespace) -> Config:
    """Return `config`, changed in place by the overrides of the command line. Raises InputError."""
    for override in getattr(given, "overrides", ()):
        apply(config, override)
    return config


def name_and_variant(given: argparse.Namespace) -> tuple[str, str]:
    """Return ("places2", "pic") for --config=configs/places2.py:pic; the variant is "" if none is given."""
    path, _, variant = given.config.partition(":")
    return Path(path).stem, variant


def workdir(given: argparse.Namespace) -> Path:
    """Return --workdir, by default runs/<name of the config>, followed by _<variant> if there is one.

    Raises InputError for a bucket.
    """
    if given.workdir and "://" in given.workdir:
        raise InputError(f"--workdir={given.workdir}: logs are appended to, which a bucket cannot do; mount it as in "
                         "docs/running.md, and give the folder")
    return Path(given.workdir) if given.workdir else Path("runs", "_".join(filter(None, name_and_variant(given))))


def find(name: str) -> Path:
    """Return the config file of a path or of an installed name. Raises InputError if there is neither."""
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if name in installed():
        return folder() / f"{name}.py"
    raise InputError(f"--config={name}: no such file, and no such name; there are {', '.join(installed())}")


def installed() -> list[str]:
    """Return the names of the configs that come with the package, sorted."""
    return sorted(path.stem for path in folder().glob("*.py") if not path.stem.startswith("_"))


def folder() -> Path:
    """Return the folder of the configs: inside the installed package, or beside it in a checkout."""
    package = Path(mai_jax.__file__).parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def load_file(path: Path, variant: str = "") -> Config:
    """Return what `get_config` of a config file returns, for its default variant if none is given.

    Raises InputError, naming the line, for a file that is no config.
    """
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"--config={path}: is not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        config = _get_config(module, path, variant)
    except RunError:
        raise
    except Exception as error:  # the file may run any code
        line = next((f":{frame.lineno}" for frame in reversed(traceback.extract_tb(error.__traceback__))
                     if frame.filename == spec.origin), "")  # fmt: skip
        raise InputError(f"--config={path}{line}: {type(error).__name__}: {error}; fix the file") from error
    if not isinstance(config, Config):
        raise InputError(f"--config={path}: get_config returns {type(config).__name__}; it must return a "
                         "mai_jax.config.Config")
    return config


def _get_config(module: ModuleType, path: Path, variant: str) -> Any:
    if not hasattr(module, "get_config"):
        raise InputError(f"--config={path}: defines no get_config(variant); see configs/quickstart.py")
    return module.get_config(variant) if variant else module.get_config()


def apply(config: Config, override: str) -> None:
    """Set the field of an override such as --config.generator.width=32, in place.

    The text is read as the field's type: a number, true or false, a tuple such as (0.1,0.2) or, of names, a,b, or text
    with or without quotes. A boolean field without a value becomes true. Raises InputError.
    """
    flag, equals, text = override.partition("=")
    name = flag.removeprefix("--config.").replace("-", "_")
    if name not in {field.name for field in describe(config)}:
        raise InputError(f"{flag}: {_no_field(name, list(describe(config)))}")
    *sections, last = name.split(".")
    section: Any = config
    for part in sections:
        section = getattr(section, part)
    kind: Any = next(field.type for field in dataclasses.fields(section) if field.name == last)
    if not equals and kind is not bool:
        raise InputError(f"{flag}: has no value; give {flag}=VALUE")
    try:
        setattr(section, last, _parsed(kind, text if equals else "true"))
    except (ValueError, TypeError, SyntaxError, KeyError, MemoryError, RecursionError) as error:
        expected = "a tuple, as in (1,2)" if get_origin(kind) is tuple else KINDS[kind]
        raise InputError(f"{override}: must be {expected}") from error


def _parsed(kind: Any, text: str) -> Any:
    """Return `text` as a value of the field type `kind`, one of bool, int, float, str, tuple[...]."""
    if kind is bool:
        return BOOLEANS[text.lower()]
    if kind is str:
        quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in QUOTES
        return text[1:-1] if quoted else text
    if get_origin(kind) is tuple:
        if get_args(kind)[0] is str and text[:1] not in ("(", "[", *QUOTES):
            return tuple(comma_list(text))
        with warnings.catch_warnings(action="ignore"):  # of an invalid escape: one line follows if it is no tuple
            value = ast.literal_eval(text)
        return tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return kind(text)


def _no_field(name: str, fields: list[FieldInfo]) -> str:
    names = [field.name for field in fields]
    inside = [known for known in names if known.startswith(f"{name}.")]
    near = difflib.get_close_matches(name[:100], names, n=1, cutoff=0.0)
    problem = f"is a section, with fields such as {inside[0]}" if inside else f"no such field; the nearest is {near[0]}"
    return f"{problem}; `mai config` lists all"
