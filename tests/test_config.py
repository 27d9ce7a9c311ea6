"""Configs survive a checkpoint, typos do not; the published settings stand in configs/."""

import dataclasses
import importlib.util
from pathlib import Path

import pytest

from mai_jax import config as config_lib
from mai_jax.config import Config
from mai_jax.types import InputError

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.py"))


def load(path: Path) -> Config:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_sound_and_survives_json(path):
    config = load(path)
    config_lib.check(config)
    assert config_lib.from_dict(config_lib.to_dict(config)) == config


def test_the_published_settings():
    config = load(CONFIGS[0].parent / "places2.py")
    assert (config.image_size, config.batch_size, config.generator.width) == (256, 6, 64)
    lambdas = dict(perceptual=0.05, style=120, adversarial=0.1, total_variation=0.1, valid=1, hole=6)
    assert dataclasses.asdict(config.losses) == lambdas
    assert config.train.learning_rate == 2e-4
    assert (config.finetune.learning_rate, config.finetune.freeze_encoder_norm) == (5e-5, True)


def test_a_typo_is_an_error():
    with pytest.raises(AttributeError):
        Config().train.step = 5
    values = config_lib.to_dict(Config())
    values["train"]["step"] = 5
    with pytest.raises(InputError, match=r"config\.train: field step is unknown"):
        config_lib.from_dict(values)


def test_a_checkpoint_of_an_earlier_version_keeps_its_meaning():
    values = config_lib.to_dict(Config(seed=7))
    del values["dtype"], values["edge_connect"], values["generator"]["norm"]
    assert config_lib.from_dict(values) == Config(seed=7)


def test_differences_name_the_fields_that_change_numbers():
    a, b = Config(), Config()
    b.run.log_every, b.losses.style, b.evaluation.edges = 1, 250.0, (0.0, 1.0)
    assert [line.split(":")[0] for line in config_lib.differences(a, b)] == [
        "config.losses.style", "config.evaluation.edges"]


@pytest.mark.parametrize("name, value", [
    ("image_size", 100), ("batch_size", 0), ("data.crop", "middle"), ("data.shorter_side", 255),
    ("holes.mask_means", "white"), ("holes.min_ratio", 0.0), ("holes.max_ratio", 1.0), ("train.schedule", "step"),
    ("evaluation.edges", (0.2, 0.1)), ("vgg16.width", 16), ("generator.attention_window", 2),
    ("generator.attention", "sparse"), ("run.keep", 0), ("dtype", "float16"),
    ("generator.norm", "layer"), ("generator.attention_stages", (3,)),
])
def test_unusable_values_are_named(name, value):
    config = Config()
    *parents, last = name.split(".")
    setattr(getattr(config, parents[0]) if parents else config, last, value)
    with pytest.raises(InputError, match=rf"config\.{name}="):
        config_lib.check(config)
