"""Servers of the page: one started as by a user, with an untrained network, and one with a fill that takes no time."""

import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax import config as config_lib
from mai_jax.batch import Batch
from mai_jax.demo import server
from mai_jax.inference import Inpainter
from mai_jax.models.mai import MAI
from mai_jax.training import checkpointing
from tests.cheap_compilation import environment

ROOT = Path(__file__).parents[2]
TIMEOUT = 120  # seconds per step, for slow machines


class Negative(Inpainter):
    """Fills with the negative of the photograph, once `allowed` is set, which it is unless a test clears it."""

    description = "the negative"

    def __init__(self) -> None:
        self.allowed, self.calls = threading.Event(), 0
        self.allowed.set()

    def __call__(self, image, hole):
        self.calls += 1
        assert self.allowed.wait(TIMEOUT)
        return np.where(hole[..., None], np.iinfo(image.dtype).max - image, image)


@dataclass
class Served:
    """A running server, and the folder for its temporary files."""

    process: subprocess.Popen
    port: int
    temporary: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def stop(self, number: int) -> str:
        """Send the signal and return the output that was not read before."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=TIMEOUT)[0]


@pytest.fixture(scope="session")
def checkpoint_folder(tmp_path_factory):
    config = config_lib.Config(image_size=32)
    config.generator.width = config.discriminator.width = 8
    batch = Batch(jnp.zeros((1, 32, 32, 3)), jnp.ones((1, 32, 32, 1)))
    shapes = jax.eval_shape(MAI(config).init, jax.random.key(0), batch)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: rng.normal(0, 0.1, x.shape).astype(x.dtype), shapes["params"])
    batch_stats = jax.tree.map(lambda x: np.ones(x.shape, x.dtype), shapes["batch_stats"])
    folder = tmp_path_factory.mktemp("run")
    with checkpointing.CheckpointWriter(folder, keep=1) as writer:
        items = {"params": {"params": params, "batch_stats": batch_stats}}
        writer.save(7, items, {"config": config_lib.to_dict(config)})
    return folder


@pytest.fixture(scope="module")
def serve(checkpoint_folder, tmp_path_factory):
    """Return a function that starts `demo.py` and returns once it has printed the address of the page."""
    pytest.importorskip("uvicorn", reason="install the extra `demo`")
    started = []

    def start() -> Served:
        temporary = tmp_path_factory.mktemp("temporary")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        env = environment() | {"TMPDIR": str(temporary)}
        process = subprocess.Popen(
            [sys.executable, ROOT / "demo.py", f"--checkpoint={checkpoint_folder}", f"--port={port}"], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, cwd=tmp_path_factory.getbasetemp())
        started.append(process)
        line = process.stdout.readline()
        assert f"http://127.0.0.1:{port}/" in line, line + process.communicate(timeout=TIMEOUT)[0]
        return Served(process, port, temporary)

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def served(serve):
    """Return one server for the tests of a file. When stopped, it has printed nothing more and left no files."""
    started = serve()
    yield started
    assert started.stop(signal.SIGTERM) == ""
    assert started.process.returncode == 0
    assert list(started.temporary.iterdir()) == []


@pytest.fixture(scope="module")
def models():
    return {"negative": Negative(), "other": Negative()}


@pytest.fixture(scope="module")
def address(models):
    """Return the address of a server with `models`."""
    pytest.importorskip("uvicorn", reason="install the extra `demo`")
    with server.running_server(models, "127.0.0.1", 0) as address:
        yield address


@pytest.fixture
def visitor(browser):
    """Return a function that opens a page; fail on requests to other servers and on errors in the page.

    A question of the page is an error, unless `asked` is given: it gets the kind of the question, which is affirmed.
    """
    tabs, foreign_requests, errors = [], [], []

    def visit(address, width=1280, height=900, *, script="", asked=None, **settings):
        size = {"width": width, "height": height}
        tab = browser.new_context(viewport=size, accept_downloads=True, **settings).new_page()
        tab.add_init_script(script)
        tabs.append(tab)
        tab.set_default_timeout(1000 * TIMEOUT)
        local = (address, f"blob:{address}", "data:")
        tab.on("request", lambda r: foreign_requests.append(r.url) if not r.url.startswith(local) else None)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("console", lambda line: errors.append(line.text) if "Content Security" in line.text else None)
        tab.on("dialog", lambda dialog: (errors if asked is None else asked).append(dialog.type))
        tab.on("dialog", lambda dialog: dialog.dismiss() if asked is None else dialog.accept())
        tab.goto(address)
        tab.locator("html[data-ready]").wait_for()
        return tab

    yield visit
    for tab in tabs:
        tab.context.close()
    assert foreign_requests == [] and errors == []


@pytest.fixture
def visit(visitor, address):
    """Return a function that opens the page of `address`."""
    return lambda *args, **settings: visitor(address, *args, **settings)
