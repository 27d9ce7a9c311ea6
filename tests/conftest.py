"""Eight fake CPU devices, and every shape annotation of the package checked at run time."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
# Optimising machine code takes most of the tests' time and changes none of their results.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"

import jax
import pytest
from jaxtyping import install_import_hook

install_import_hook("mai_jax", "beartype.beartype").__enter__()


@pytest.fixture
def x64():
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield
