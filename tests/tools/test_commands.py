"""The printed commands reproduce the configs."""

import ast
import copy
import importlib.util
import shlex
from pathlib import Path

from mai_jax import config as config_lib
from mai_jax.variants import variant
from tools.results_page.commands import commands

CONFIGS = Path(__file__).parents[2] / "configs"
SPEC = importlib.util.spec_from_file_location("quickstart", CONFIGS / "quickstart.py")
quickstart = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(quickstart)
NAMES = ("pconv", "mai")


def make_configs(**fields):
    base = quickstart.get_config()
    for path, value in fields.items():
        *parents, field = path.split("__")
        owner = base
        for parent in parents:
            owner = getattr(owner, parent)
        setattr(owner, field, value)
    return {name: variant(copy.deepcopy(base), name) for name in NAMES}


def test_the_command_has_the_config_file_and_the_differences():
    configs = make_configs(main_phase__steps=7, dtype="bfloat16", evaluation__edges=(0.1, 0.3),
                           data__train="/somewhere/train", data__test="/somewhere/test",
                           run__keep_checkpoints=9)
    (command,) = commands(configs, CONFIGS)
    assert "somewhere" not in command
    program, *flags = shlex.split(command.replace("\\\n", ""))[1:]
    given = dict(flag.removeprefix("--").split("=", 1) for flag in flags)
    assert (program, given.pop("config"), given.pop("methods")) == ("tables.py", "configs/quickstart.py", "pconv,mai")
    assert given == {"config.data.train": "DIR/train", "config.data.test": "DIR/test", "workdir": "RUN",
                     "config.main_phase.steps": "7", "config.dtype": "bfloat16", "config.evaluation.edges": "(0.1,0.3)"}
    assert ast.literal_eval(given["config.evaluation.edges"]) == configs["mai"].evaluation.edges


def test_methods_with_different_settings_have_separate_commands():
    configs = {**make_configs(), "pconv": make_configs(main_phase__steps=9)["pconv"]}
    first, second = commands(configs, CONFIGS)
    assert "--config.main_phase.steps=9" in first and "--methods=pconv" in first
    assert first.replace(" --config.main_phase.steps=9", "").replace("=pconv", "=mai") == second
    assert config_lib.differences(quickstart.get_config(), configs["mai"]) == []
