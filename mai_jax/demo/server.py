"""Serves the page from a folder of its own that goes when the server does."""

import logging
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mai_jax.inference import Inpainter
from mai_jax.types import InputError

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

log = logging.getLogger(__name__)


def serve(inpainter: Inpainter, host: str, port: int) -> None:
    """Serves the page until SIGTERM or Ctrl-C. Raises InputError without gradio, or if the port is taken."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with served(inpainter, host, port) as address:
        log.info("the page: %s   (Ctrl-C ends it)", address)
        stop.wait()


@contextmanager
def served(inpainter: Inpainter, host: str, port: int) -> Iterator[str]:
    """Serves the page at the address that it gives. Once per process, because gradio is told so by its environment."""
    with tempfile.TemporaryDirectory(prefix="mai_jax_") as folder:
        _confine_gradio(folder)
        blocks = _launch(inpainter, host, port, Path(folder))
        try:
            yield blocks.local_url
        finally:
            blocks.close(verbose=False)


def _confine_gradio(folder: str) -> None:
    """All that gradio writes goes into the folder, and it calls nobody. To be called before it is imported."""
    tempfile.tempdir = folder
    for name in [name for name in os.environ if name.startswith("GRADIO_")]:
        del os.environ[name]  # they could open other ports, folders or links
    os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_EXAMPLES_CACHE": folder, "GRADIO_ANALYTICS_ENABLED": "False",
                   "no_proxy": "*"}


def _launch(inpainter: Inpainter, host: str, port: int, folder: Path):
    try:
        import gradio  # noqa: F401
    except ImportError as reason:
        raise InputError("the page needs gradio: pip install '.[demo]'") from reason
    from starlette.middleware import Middleware

    from mai_jax.demo import gate, page

    local = host in LOOPBACK
    where = "Photos stay on this machine" if local else "Photos stay on the machine that runs this page"
    blocks = page.build(inpainter, f"{where} and are deleted when the program ends.")
    middleware = Middleware(gate.Gate, folder=folder, hosts=LOOPBACK if local else None)
    try:
        blocks.launch(
            server_name=host, server_port=port, prevent_thread_lock=True, inbrowser=False, share=False, quiet=True,
            show_error=False, ssr_mode=False, pwa=False, mcp_server=False, enable_monitoring=False, run_history=False,
            footer_links=[], max_file_size=gate.MAX_UPLOAD, state_session_capacity=8,
            app_kwargs={"middleware": [middleware]}, **page.LOOK)
    except OSError as reason:
        raise InputError(f"--port={port}: is taken on {host}, or --host is not this machine; name others") from reason
    return blocks
