"""A lock that allows one run per folder."""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from mai_jax.errors import InputError

NAME = "lock"


@contextlib.contextmanager
def workdir_lock(workdir: Path) -> Iterator[None]:
    """Hold the lock of the folder, which is created if needed. The kernel releases it however the process ends.

    Raises InputError, with process and host, if another run holds it.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    with (workdir / NAME).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise InputError(f"{workdir}: used by another run ({file.read().strip() or 'just started'}); wait for its "
                             "end, or give another --workdir") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield
