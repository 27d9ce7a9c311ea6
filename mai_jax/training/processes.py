"""Several processes that train together, each with its own devices: how they find each other, and who speaks."""

import contextlib
import json
import logging
import os
import sys
import traceback
import zlib
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

from mai_jax import config as config_lib
from mai_jax.config import Config
from mai_jax.types import InputError, RunError

HEARTBEAT = 30  # seconds without a sign of life after which a process counts as dead
DEAD = ("Gloo", "NCCL", "heartbeat", "Barrier", "UNAVAILABLE", "Connection")  # in errors that another's death causes
NO_CLUSTER = "coordinator_address should be defined"  # what JAX says where it detects none

log = logging.getLogger(__name__)


def join(coordinator: str | None, count: int | None, index: int | None) -> None:
    """Before anything else that uses JAX: joins the other processes, found by JAX's own detection if nothing is given.

    `coordinator` is HOST:PORT of process 0. A machine without a cluster, or `count` = 1, is one process. Raises
    InputError.
    """
    given = {"--coordinator": coordinator, "--processes": count, "--process": index}
    if count == 1 and coordinator is None:
        return
    missing = [name for name, value in given.items() if value is None]
    if missing and len(missing) < len(given):
        raise InputError(f"{missing[0]} is missing; give all three of {', '.join(given)}, or none")
    if not missing and not 0 <= index < count:
        raise InputError(f"--process={index}: must be one of 0 to {count - 1}")
    if not missing and not coordinator.rpartition(":")[2].isdecimal():
        raise InputError(f"--coordinator={coordinator}: must be HOST:PORT of process 0")
    if not missing:
        log.info("process %d of %d: waiting for all others at %s", index, count, coordinator)
    try:
        jax.distributed.initialize(coordinator, count, index, heartbeat_timeout_seconds=HEARTBEAT)
    except ValueError as error:
        if missing and NO_CLUSTER in str(error):
            return
        raise InputError(f"cannot join the other processes: {error}; give --coordinator=HOST:PORT --processes=N "
                         "--process=I, or --processes=1") from error
    except RuntimeError as error:
        raise InputError(f"cannot reach the other processes: {str(error).splitlines()[0]}; start all of them, and let "
                         "them reach process 0") from error
    if not first():
        logging.getLogger("mai_jax").setLevel(logging.ERROR)


def many() -> bool:
    """Whether others may take part: there is a coordinator."""
    return jax.distributed.is_initialized()


def first() -> bool:
    """Whether this is the process that writes and speaks."""
    return jax.process_index() == 0


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Where there are other processes, an error in here ends this one at once.

    Anything else, such as an orderly end of a checkpoint being written, would wait for the others, which wait for this
    one. They notice, and end too.
    """
    try:
        yield
    except Exception as error:
        if not many():
            raise
        print(f"error: process {jax.process_index()}: {_say(error)}", file=sys.stderr, flush=True)
        os._exit(1)


def _say(error: Exception) -> str:
    if isinstance(error, RunError):
        return str(error)
    if any(word in str(error) for word in DEAD):
        return (f"another process has ended or cannot be reached ({str(error).splitlines()[0]}); its own output says "
                "why; the last checkpoint is whole: start all processes again")
    return traceback.format_exc()


def agree(config: Config, workdir: Path, step: int) -> None:
    """Raises InputError unless all processes have the same config and have found the same checkpoint."""
    mine = np.array([zlib.crc32(json.dumps(config_lib.to_dict(config)).encode()), step], np.uint32)
    configs, steps = np.atleast_2d(multihost_utils.process_allgather(mine)).T
    if len(set(configs)) > 1:
        raise InputError("the processes have different configs; start all of them with the same flags")
    if len(set(steps)) > 1:
        raise InputError(f"{workdir}: the processes have found checkpoints of different steps there "
                         f"({', '.join(map(str, sorted(set(steps))))}); it must be a folder that all of them share")
