"""`mai_jax.Inpainter` is the class of `mai_jax.inference`, and is imported only when it is used."""

import subprocess
import sys

import pytest

import mai_jax
from mai_jax.inference import Inpainter


def test_inpainter_is_exported():
    assert mai_jax.Inpainter is Inpainter
    assert mai_jax.__all__ == ["Inpainter"]


def test_import_does_not_load_jax():
    script = ("import sys, mai_jax; assert mai_jax.__version__; assert 'jax' not in sys.modules; mai_jax.Inpainter; "
              "assert 'jax' in sys.modules")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_unknown_attribute_is_named():
    with pytest.raises(AttributeError, match="module 'mai_jax' has no attribute 'Painter'"):
        mai_jax.Painter  # noqa: B018
