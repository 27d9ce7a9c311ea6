"""Train a run for every combination of some settings, one after the other, and list them in a table.

    mai sweep --config=quickstart --grid losses.style=60,120 main_phase.learning_rate=1e-4,2e-4
    mai sweep --config=places2 --grid seed=0,1,2 --workdir=runs/seeds --slurm

Each run has a folder of its own below --workdir. The same command trains what is left; when nothing is left, it prints
the table. --config.FIELD=VALUE overrides a field for all runs alike. See docs/training.md.
"""

import argparse
import copy
import itertools
import re
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from mai_jax import config as config_lib
from mai_jax.cli import app, config_argument
from mai_jax.cli.arguments import Switch
from mai_jax.config import Config
from mai_jax.errors import InputError

if TYPE_CHECKING:
    from mai_jax.compare.sweep import Combination

COMMA = re.compile(r",(?![^(\[]*[)\]])")  # not within a tuple, as in generator.attention_stages=(1,2),(2,)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    config_argument.add_config(parser)
    parser.add_argument("--grid", nargs="+", action="extend", default=[], metavar="FIELD=VALUE,...",
                        help="fields of the config with their values: all combinations are trained; no default")
    parser.add_argument("--workdir", metavar="DIR", help="folder of the runs and the table; default: "
                                                         "runs/<config>_sweep")
    parser.add_argument("--slurm", action=Switch,
                        help="train nothing: write a Slurm script of an array with a task for each run")


def run(given: argparse.Namespace) -> int:
    config = config_argument.load(given)
    workdir = Path(given.workdir or f"{config_argument.workdir(given)}_sweep")
    combinations = _combinations(config, given.grid, workdir)

    from mai_jax.compare import sweep

    if given.slurm:
        common = ["mai", "train", f"--config={given.config}", *getattr(given, "overrides", ())]
        sweep.write_slurm_script(workdir, [
            shlex.join([*common, *(f"--config.{name}={value}" for name, value in combination.values.items()),
                        f"--workdir={combination.workdir}"]) for combination in combinations])
        return 0
    app.enable_compilation_cache()
    outcome = sweep.sweep(combinations, workdir)
    return 130 if outcome == signal.SIGINT else int(outcome is False)


def _combinations(config: Config, grid: list[str], workdir: Path) -> list["Combination"]:
    """Return every combination of the grid with its config and folder. Raises InputError."""
    from mai_jax.compare.sweep import Combination

    if not grid:
        raise InputError("--grid: names no field; give --grid FIELD=VALUE,..., as in --grid losses.style=60,120")
    values: dict[str, list[str]] = {}
    for argument in grid:
        name, equals, text = argument.removeprefix("--").removeprefix("config.").partition("=")
        if not equals or not all(parts := COMMA.split(text)):
            raise InputError(f"--grid {argument}: must be FIELD=VALUE,..., as in losses.style=60,120")
        if name in values:
            raise InputError(f"--grid {argument}: {name} is given twice; give all its values at once")
        values[name] = parts
    last = [name.rpartition(".")[2] for name in values]
    titles = {name: name if last.count(short) > 1 else short for name, short in zip(values, last, strict=True)}
    combinations: list[Combination] = []
    for chosen in itertools.product(*values.values()):
        changed, by_field = copy.deepcopy(config), dict(zip(values, chosen, strict=True))
        for name, value in by_field.items():
            config_argument.apply(changed, f"--config.{name}={value}")
        folder = "-".join(re.sub(r"[^\w.+-]+", "_", f"{titles[name]}_{value}") for name, value in by_field.items())
        if same := [other for other in combinations if other.config == changed or other.workdir.name == folder]:
            raise InputError(f"--grid: {folder} and {same[0].workdir.name} are the same run; give each value once")
        config_lib.check(changed)
        combinations.append(Combination(by_field, changed, workdir / folder))
    return combinations
