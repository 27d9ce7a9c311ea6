"""The server of the page. Files that it receives are in unnamed temporary files until they are answered."""

import logging
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mai_jax.errors import InputError

if TYPE_CHECKING:
    from mai_jax.demo.routes import Models

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
GRACE = 2  # seconds for running requests when the server ends

log = logging.getLogger(__name__)


def serve(models: "Models", host: str, port: int) -> None:
    """Serve the page until SIGTERM or Ctrl-C. Raises InputError if the extra is missing or the port is taken."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with running_server(models, host, port) as address:
        log.info("the page is at %s   (Ctrl-C stops the server)", address)
        stop.wait()


@contextmanager
def running_server(models: "Models", host: str, port: int) -> Iterator[str]:
    """Serve the page inside the `with` block; the value is its address. The first of `models` is the default.

    Raises InputError if the extra `demo` is missing or the port is taken.
    """
    try:
        import python_multipart  # noqa: F401
        import uvicorn
    except ImportError as reason:
        raise InputError("the page needs the extra `demo`: pip install '.[demo]'") from reason
    from mai_jax.demo import gate, routes

    local = host in (*LOOPBACK, "::1")
    place = "this machine" if local else "the machine that runs this page"
    application, close = routes.build(models, f"Photos stay on {place} and the server stores none.")
    config = uvicorn.Config(
        gate.Gate(application, LOOPBACK if local else None), http="h11", ws="none", lifespan="off",
        access_log=False, log_config=None, log_level="critical", server_header=False, proxy_headers=False,
        timeout_graceful_shutdown=GRACE)
    server = uvicorn.Server(config)
    with _listen(host, port) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            name = f"[{host}]" if ":" in host else host
            yield f"http://{name}:{listening.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()
            close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=256)
    except OSError as reason:
        raise InputError(f"--port={port}: is taken on {host}, or --host is not an address of this machine; give "
                         "another one") from reason
