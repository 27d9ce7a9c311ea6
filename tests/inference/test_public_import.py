"""The names of `mai_jax` are those of its modules, and are imported only when they are used."""

import subprocess
import sys

import pytest

import mai_jax
from mai_jax.batch import Batch
from mai_jax.inference import Inpainter
from mai_jax.training.trainer import train


def test_the_names_are_those_of_the_modules():
    assert (mai_jax.Inpainter, mai_jax.Batch, mai_jax.train) == (Inpainter, Batch, train)
    assert mai_jax.__all__ == ["Batch", "Inpainter", "create_model", "evaluate", "load_config", "train"]


def test_import_does_not_load_jax():
    script = ("import sys, mai_jax; mai_jax.load_config('quickstart'); assert 'jax' not in sys.modules; mai_jax.Batch; "
              "assert 'jax' in sys.modules")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_unknown_attribute_is_named():
    with pytest.raises(AttributeError, match="module 'mai_jax' has no attribute 'Painter'"):
        mai_jax.Painter  # noqa: B018
