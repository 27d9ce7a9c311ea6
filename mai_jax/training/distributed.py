"""Training with several processes: initialization, the main process, and errors that end all of them."""

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
from mai_jax.errors import InputError, RunError

HEARTBEAT = 30  # seconds without a heartbeat after which a process counts as dead
# Words in errors that are caused by the end of another process.
LOST = ("Gloo", "NCCL", "heartbeat", "Barrier", "UNAVAILABLE", "Connection")
NO_CLUSTER = "coordinator_address should be defined"  # in JAX's error if it detects no cluster

log = logging.getLogger(__name__)


def initialize(coordinator: str | None, count: int | None, index: int | None) -> None:
    """Connect to the other processes, which JAX detects if no argument is given. Call it before anything uses JAX.

    `coordinator` is HOST:PORT of process 0. A machine without a cluster, or `count` = 1, is one process. Raises
    InputError.
    """
    given = {"--coordinator": coordinator, "--processes": count, "--process": index}
    if count == 1 and coordinator is None:
        return
    missing = [name for name, value in given.items() if value is None]
    if missing and len(missing) < len(given):
        raise InputError(f"{missing[0]} is missing; give all three of {', '.join(given)}, or none")
    if coordinator is not None and count is not None and index is not None:
        if not 0 <= index < count:
            raise InputError(f"--process={index}: must be one of 0 to {count - 1}")
        if not coordinator.rpartition(":")[2].isdecimal():
            raise InputError(f"--coordinator={coordinator}: must be HOST:PORT of process 0")
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
    if not is_main_process():
        logging.getLogger("mai_jax").setLevel(logging.ERROR)


def is_distributed() -> bool:
    """Return whether there is a coordinator, and so possibly other processes."""
    return jax.distributed.is_initialized()


def is_main_process() -> bool:
    """Return whether this process writes files and logs."""
    return jax.process_index() == 0


@contextlib.contextmanager
def abort_all_on_error() -> Iterator[None]:
    """Exit at once on an error in the block if there are other processes, which then end too.

    An orderly end, such as completing a checkpoint, would wait for the others, which wait for this one.
    """
    try:
        yield
    except Exception as error:
        if not is_distributed():
            raise
        print(f"error: process {jax.process_index()}: {_describe(error)}", file=sys.stderr, flush=True)
        os._exit(1)


def _describe(error: Exception) -> str:
    if isinstance(error, RunError):
        return str(error)
    if any(word in str(error) for word in LOST):
        return (f"another process has ended or cannot be reached ({str(error).splitlines()[0]}); its own output says "
                "why; the last checkpoint is complete: start all processes again")
    return traceback.format_exc()


def assert_same_config(config: Config, workdir: Path, step: int) -> None:
    """Raise InputError unless all processes have the same config and have found the same checkpoint."""
    local = np.array([zlib.crc32(json.dumps(config_lib.to_dict(config)).encode()), step], np.uint32)
    configs, steps = np.atleast_2d(multihost_utils.process_allgather(local)).T
    if len(set(configs)) > 1:
        raise InputError("the processes have different configs; start all of them with the same flags")
    if len(set(steps)) > 1:
        raise InputError(f"{workdir}: the processes found checkpoints of different steps there "
                         f"({', '.join(map(str, sorted(set(steps))))}); it must be a folder that all of them share")
