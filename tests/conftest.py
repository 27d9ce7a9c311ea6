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


def pytest_collection_modifyitems(items):
    """Start with the files that take minutes, so that no worker is left with one of them at the end."""
    items.sort(key=lambda item: not item.path.name.startswith(("test_trainer", "test_distributed")))  # stable


@pytest.fixture(scope="module", autouse=True)
def free_compiled_programs():
    """Free the compiled programs of each test file, up to a gigabyte, which no other file uses."""
    yield
    jax.clear_caches()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):  # the GNU C library does not return freed memory by itself
        libc.malloc_trim(0)


@pytest.fixture
def x64():
    """Enable double precision for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def browser():
    """Yield a headless Chromium; skip the test if there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="install the PyPI package playwright")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no browser: install Debian's package chromium")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                 "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()
