"""`python train.py` on a network so small that a start takes longer than a hundred steps, and what a run leaves."""

import json
import socket
from pathlib import Path

ROOT = Path(__file__).parents[1]
TINY = (
    "--config=configs/quickstart.py", "--config.image_size=32", "--config.data.shorter_side=40",
    "--config.generator.width=4", "--config.generator.squeeze=4", "--config.discriminator.width=4",
    "--config.vgg16.width=4", "--config.run.log_every=1", "--config.run.pictures_every=100000",
    "--config.run.pictures=1",
)  # fmt: skip


def compiled_once(environment: dict[str, str], cache: Path) -> dict[str, str]:
    """The environment, with a folder where all starts keep and find their compiled programs."""
    return environment | {"JAX_COMPILATION_CACHE_DIR": str(cache), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


def logged(workdir: Path) -> list[dict]:
    """All that was logged but the clock."""
    path = workdir / "log.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [{k: v for k, v in line.items() if k != "wall_time" and not k.startswith("speed/")} for line in lines]


def last_step(workdir: Path) -> int:
    """The last step in the log, which may be read while it is written."""
    try:
        return max((line["step"] for line in logged(workdir)), default=0)
    except ValueError:
        return 0


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]
