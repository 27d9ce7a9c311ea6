"""One run in a folder at a time."""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from mai_jax.types import InputError

NAME = "lock"


@contextlib.contextmanager
def alone(workdir: Path) -> Iterator[None]:
    """Holds the folder while entered, which is made if need be. The kernel lets go of it however the process ends.

    Raises InputError, with process and host, if another run holds it.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    with (workdir / NAME).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise InputError(f"{workdir}: another run is going on here ({file.read().strip() or 'just started'}); wait "
                             "for its end, or give another --workdir") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield
