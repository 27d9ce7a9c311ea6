"""--config=NAME|FILE[:VARIANT], --config.FIELD=VALUE, and `mai config`."""

import shlex
import tomllib
from pathlib import Path

import pytest

import mai_jax
from mai_jax.cli import config_argument
from mai_jax.cli.arguments import Parser
from mai_jax.cli.main import main
from mai_jax.config import Config, Phase
from mai_jax.config_fields import describe
from mai_jax.errors import InputError

ROOT = Path(__file__).parents[2]
IMPORT = "from mai_jax.config import Config\n"
FILE = f"{IMPORT}def get_config(name='mai'):\n    return Config(seed=11, method=name)\n"


def parsed(*arguments: str):
    parser = Parser(prog="mai test")
    config_argument.add_config(parser)
    parser.add_argument("--workdir")
    return parser.parse(arguments)


def load(*arguments: str) -> Config:
    return config_argument.load(parsed(*arguments))


@pytest.mark.parametrize(("text", "name", "value"), [
    ("seed=3", "seed", 3), ("seed=-3", "seed", -3), ("main_phase.steps=1_000", "main_phase.steps", 1000),
    ("main_phase.learning_rate=1", "main_phase.learning_rate", 1.0), ("losses.style=1e-3", "losses.style", 1e-3),
    ("remat=true", "remat", True), ("remat=False", "remat", False), ("remat=1", "remat", True),
    ("remat", "remat", True),
    ("data.train=a-b/c=d", "data.train", "a-b/c=d"), ("data.train=\"a-b\"", "data.train", "a-b"),
    ("data.train='a b'", "data.train", "a b"), ("data.train=\"a", "data.train", "\"a"), ("data.test=", "data.test", ""),
    ("data.train=123", "data.train", "123"), ("generator.norm=region", "generator.norm", "region"),
    ("generator.attention_stages=(1,)", "generator.attention_stages", (1,)),
    ("generator.attention_stages=()", "generator.attention_stages", ()),
    ("run.writers=tensorboard,wandb", "run.writers", ("tensorboard", "wandb")),
    ("run.writers=('wandb',)", "run.writers", ("wandb",)), ("run.writers=", "run.writers", ()),
    ("generator.attention_stages=2", "generator.attention_stages", (2,)),
    ("evaluation.edges=(0.1,0.2)", "evaluation.edges", (0.1, 0.2)),
    ("evaluation.edges=0.1,0.2", "evaluation.edges", (0.1, 0.2)),
    ("evaluation.edges=[0.1, 0.2]", "evaluation.edges", (0.1, 0.2)),
    ("pic.adam.b1=0.25", "pic.adam.b1", 0.25), ("data.shorter-side=99", "data.shorter_side", 99),
])  # fmt: skip
def test_an_override_has_the_type_of_its_field(text, name, value):
    fields = {field.name: field.value for field in describe(load("--config=quickstart", f"--config.{text}"))}
    untouched = {field.name: field.value for field in describe(load("--config=quickstart"))}
    assert fields.pop(name) == value and type(value) is type(untouched.pop(name))
    assert fields == untouched


def test_the_last_override_counts():
    assert load("--config=quickstart", "--config.seed=3", "--config.seed", "4").seed == 4


@pytest.mark.parametrize(("text", "message"), [
    ("main_phase.step=5", "--config.main_phase.step: no such field; the nearest is main_phase.steps; `mai config` "),
    ("widht=5", "no such field; the nearest is "),
    ("generator=5", "--config.generator: is a section, with fields such as generator.width; `mai config` lists all"),
    ("generator.adam=5", "is a section, with fields such as generator.adam.lr_scale"),
    ("phases=5", "no such field"), ("total_steps=5", "no such field"), ("seed.real=5", "no such field"),
    ("__class__=5", "no such field"), ("=5", "no such field"),
    ("seed", "--config.seed: has no value; give --config.seed=VALUE"),
    ("batch_size=two", "--config.batch_size=two: must be a whole number"), ("seed=1.5", "must be a whole number"),
    ("losses.style=much", "--config.losses.style=much: must be a finite number"),
    ("remat=yes", "--config.remat=yes: must be true or false"),
    ("evaluation.edges=(0.1", "must be a tuple, as in (1,2)"), ("evaluation.edges=a+b", "must be a tuple"),
    ("evaluation.edges=", "must be a tuple"), (f"evaluation.edges={'(' * 10_000}", "must be a tuple"),
    (f"seed={'9' * 10_000}", "must be a whole number"),
])  # fmt: skip
def test_an_override_that_does_not_fit_is_named(text, message):
    with pytest.raises(InputError) as error:
        load("--config=quickstart", f"--config.{text}")
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_name_is_a_path_first_and_then_an_installed_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load("--config=quickstart").image_size == 64
    assert load("--config=quickstart:pic").method == "pic"
    (tmp_path / "own.py").write_text(FILE)
    assert load("--config=own.py").seed == 11 and load("--config=own.py:pic").method == "pic"
    assert load(f"--config={tmp_path / 'own.py'}").seed == 11
    with pytest.raises(InputError, match=r"--config=own: no such file, .*there are celeba, .*quickstart"):
        load("--config=own")
    with pytest.raises(InputError, match=r"--config=quickstart\.py: no such file"):
        load("--config=quickstart.py")
    with pytest.raises(InputError, match=r"--config=\.: no such file"):
        load("--config=.")


def test_the_configs_of_an_installed_package_are_inside_it(tmp_path, monkeypatch):
    assert config_argument.folder() == ROOT / "configs"
    assert config_argument.installed() == sorted(path.stem for path in (ROOT / "configs").glob("*.py"))
    (tmp_path / "mai_jax" / "configs").mkdir(parents=True)
    (tmp_path / "mai_jax" / "configs" / "own.py").write_text(FILE)
    monkeypatch.setattr(mai_jax, "__file__", str(tmp_path / "mai_jax" / "__init__.py"))
    assert config_argument.installed() == ["own"] and load("--config=own").seed == 11


def test_every_package_and_the_configs_are_installed():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "mai_jax").rglob("__init__.py")}
    assert set(setuptools["packages"]) == found | {"mai_jax.configs"}
    assert setuptools["package-dir"] == {"mai_jax.configs": "configs"}


@pytest.mark.parametrize(("content", "message"), [
    ("def get_config(:\n", "SyntaxError"),
    ("import nothing_like_this\n", "own.py:1: ModuleNotFoundError"),
    ("x = 1\n", "defines no get_config(variant)"),
    ("def get_config(name=''):\n    return {}\n", "get_config returns dict; it must return a mai_jax.config.Config"),
    (f"{FILE}\n    .seeed\n", "SyntaxError"),
    (f"{IMPORT}def get_config():\n    return Config(sede=1)\n", "own.py:3: TypeError"),
    (f"{IMPORT}def get_config():\n    c = Config()\n    c.sede = 1\n", "own.py:4: AttributeError"),
])
def test_a_config_file_that_fails_is_one_line(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(content)
    for path in ("own.py", tmp_path / "own.py"):
        with pytest.raises(InputError) as error:
            load(f"--config={path}")
        assert f"--config={path}" in str(error.value) and message in str(error.value)
        assert "\n" not in str(error.value)


def test_a_file_that_is_no_program(tmp_path):
    (tmp_path / "own.txt").write_text(FILE)
    with pytest.raises(InputError, match=r"own\.txt: is not a Python file"):
        load(f"--config={tmp_path / 'own.txt'}")


@pytest.mark.parametrize(("arguments", "folder"), [
    (["--config=configs/places2.py"], "runs/places2"), (["--config=places2:pic"], "runs/places2_pic"),
    (["--config=places2", "--workdir=a/b"], "a/b"),
])  # fmt: skip
def test_the_workdir_is_named_after_the_config(arguments, folder):
    assert config_argument.workdir(parsed(*arguments)) == Path(folder)


def test_a_bucket_cannot_be_a_workdir():
    with pytest.raises(InputError, match=r"--workdir=gs://b/run: .*a bucket cannot do; mount it"):
        config_argument.workdir(parsed("--config=places2", "--workdir=gs://b/run"))


def test_mai_config_prints_every_field(capsys):
    assert main(["config", "--config=quickstart:pic", "--config.evaluation.edges=(0.1,0.5)"]) == 0
    lines = capsys.readouterr().out.splitlines()
    config = load("--config=quickstart:pic", "--config.evaluation.edges=(0.1,0.5)")
    for line, field, default in zip(lines, describe(config), describe(Config()), strict=True):
        assert f"--config.{field.name}=" in line and field.meaning in line
        assert line.startswith("* " if field.value != default.value else "  ")
        assert ("[default: " in line) == (field.value != default.value)
    starts = {line.index(field.meaning) for line, field in zip(lines, describe(config), strict=True)}
    assert len(starts) == 1
    assert any(line.startswith("* --config.method=pic ") and line.endswith("[default: mai]") for line in lines)


def test_what_mai_config_prints_makes_the_config_again(capsys):
    assert main(["config", "--config=photos:edge_connect"]) == 0
    flags = [shlex.split(line[2:].partition("   ")[0])[0] for line in capsys.readouterr().out.splitlines()]
    assert config_argument.with_overrides(Config(main_phase=Phase(steps=7)), parsed(*flags)) == load(
        "--config=photos:edge_connect")


def test_mai_config_refuses_what_no_run_could_use(capsys):
    assert main(["config", "--config.image_size=100"]) == 1
    assert capsys.readouterr().err == "error: config.image_size=100: must be a power of two, 32 or more\n"
