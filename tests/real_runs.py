"""Helpers for tests that run `python train.py` with a network so small that the start takes most of the time."""

import json
import socket
from pathlib import Path

ROOT = Path(__file__).parents[1]
TINY = (
    "--config=configs/quickstart.py", "--config.image_size=32", "--config.data.shorter_side=40",
    "--config.generator.width=4", "--config.generator.se_reduction=4", "--config.discriminator.width=4",
    "--config.vgg16.width=4", "--config.run.log_every=1", "--config.run.validation_every=100000",
    "--config.run.validation_images=1",
)  # fmt: skip


def with_compilation_cache(environment: dict[str, str], cache: Path) -> dict[str, str]:
    """Return the environment with a folder in which all runs share their compiled programs."""
    return environment | {"JAX_COMPILATION_CACHE_DIR": str(cache), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


def logged(workdir: Path) -> list[dict]:
    """Return the lines of the log without wall time and speed."""
    path = workdir / "log.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [{k: v for k, v in line.items() if k != "wall_time" and not k.startswith("speed/")} for line in lines]


def last_step(workdir: Path) -> int:
    """Return the last step in the log, 0 if it is being written at this moment."""
    try:
        return max((line["step"] for line in logged(workdir)), default=0)
    except ValueError:
        return 0


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("localhost", 0))
        return server.getsockname()[1]
