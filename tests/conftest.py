"""Eight fake CPU devices, and every shape annotation of the package checked at run time."""

import ctypes
import os
import shutil

from tests import cheap_compilation

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.update(cheap_compilation.environment(devices=8))

import jax
import pytest
from jaxtyping import install_import_hook

install_import_hook("mai_jax", "beartype.beartype").__enter__()


@pytest.fixture(scope="module", autouse=True)
def no_compiled_programs_pile_up():
    """A file may leave a gigabyte of them behind, which no other file needs."""
    yield
    jax.clear_caches()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):  # the GNU library keeps for itself what is freed
        libc.malloc_trim(0)


@pytest.fixture
def x64():
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium; tests that need one are skipped where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="install the PyPI package playwright")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no browser: install Debian's package chromium")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=quiet)
        yield running
        running.close()
