"""A page that is served as a user would, with an untrained network, and a browser that looks at it."""

import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax import checkpoint
from mai_jax import config as config_lib
from mai_jax.models.mai import MAI
from mai_jax.types import Batch
from tests.cheap_compilation import environment

ROOT = Path(__file__).parents[2]
PATIENCE = 120  # seconds that a slow machine may take for a step


@dataclass
class Served:
    """A running server, its address, the folder that it keeps its files in, and what it must not give away."""

    process: subprocess.Popen
    port: int
    temporary: Path
    checkpoint: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def folder(self) -> Path:
        (folder,) = self.temporary.iterdir()
        return folder

    def end(self, number: int) -> str:
        """Sends the signal, and returns what was printed."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=PATIENCE)[0]


@pytest.fixture(scope="session")
def checkpoint_folder(tmp_path_factory):
    config = config_lib.Config(image_size=32)
    config.generator.width = config.discriminator.width = 8
    batch = Batch(jnp.zeros((1, 32, 32, 3)), jnp.ones((1, 32, 32, 1)))
    params, stats = jax.eval_shape(MAI(config).init, jax.random.key(0), batch)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: rng.normal(0, 0.1, x.shape).astype(x.dtype), params)
    stats = jax.tree.map(lambda x: np.ones(x.shape, x.dtype), stats)
    folder = tmp_path_factory.mktemp("run")
    with checkpoint.Writer(folder, keep=1) as writer:
        writer.save(7, {"params": {"params": params, "stats": stats}}, {"config": config_lib.to_dict(config)})
    return folder


@pytest.fixture(scope="module")
def serve(checkpoint_folder, tmp_path_factory):
    """Starts `demo.py`; returns once it says where the page is."""
    pytest.importorskip("gradio", reason="install the extra `demo`")
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
        assert f"http://127.0.0.1:{port}/" in line, line + process.communicate(timeout=PATIENCE)[0]
        return Served(process, port, temporary, checkpoint_folder)

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def served(serve):
    """One server for the tests of a file. Ended, it has said nothing more and nothing is left of it."""
    server = serve()
    yield server
    assert server.end(signal.SIGTERM) == ""
    assert server.process.returncode == 0
    assert list(server.temporary.iterdir()) == []
