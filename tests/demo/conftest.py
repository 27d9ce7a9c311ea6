"""A server of the page, started as by a user, with an untrained network."""

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

from mai_jax import config as config_lib
from mai_jax.batch import Batch
from mai_jax.models.mai import MAI
from mai_jax.training import checkpointing
from tests.cheap_compilation import environment

ROOT = Path(__file__).parents[2]
TIMEOUT = 120  # seconds per step, for slow machines


@dataclass
class Served:
    """A running server, its address, its temporary folder, and the checkpoint folder, which it must not serve."""

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
        assert f"http://127.0.0.1:{port}/" in line, line + process.communicate(timeout=TIMEOUT)[0]
        return Served(process, port, temporary, checkpoint_folder)

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def served(serve):
    """Return one server for the tests of a file. When stopped, it has printed nothing more and left no files."""
    server = serve()
    yield server
    assert server.stop(signal.SIGTERM) == ""
    assert server.process.returncode == 0
    assert list(server.temporary.iterdir()) == []
