"""The server of the page. It keeps its files in a temporary folder that is deleted when it ends."""

import logging
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mai_jax.errors import InputError
from mai_jax.inference import Inpainter

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

log = logging.getLogger(__name__)


def serve(inpainter: Inpainter, host: str, port: int) -> None:
    """Serve the page until SIGTERM or Ctrl-C. Raises InputError if gradio is missing or the port is taken."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with running_server(inpainter, host, port) as address:
        log.info("the page is at %s   (Ctrl-C stops the server)", address)
        stop.wait()


@contextmanager
def running_server(inpainter: Inpainter, host: str, port: int) -> Iterator[str]:
    """Serve the page inside the `with` block; the value is its address.

    Can be used once per process, because it configures gradio with environment variables. Raises InputError if gradio
    is missing or the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="mai_jax_") as folder:
        _confine_gradio(folder)
        blocks = _launch(inpainter, host, port, Path(folder))
        try:
            yield blocks.local_url
        finally:
            blocks.close(verbose=False)


def _confine_gradio(folder: str) -> None:
    """Make gradio write only into the folder and send no analytics. Must be called before gradio is imported."""
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
    place = "Photos stay on this machine" if local else "Photos stay on the machine that runs this page"
    blocks = page.build(inpainter, f"{place} and are deleted when the program ends.")
    middleware = Middleware(gate.Gate, folder=folder, hosts=LOOPBACK if local else None)
    try:
        blocks.launch(
            server_name=host, server_port=port, prevent_thread_lock=True, inbrowser=False, share=False, quiet=True,
            show_error=False, ssr_mode=False, pwa=False, mcp_server=False, enable_monitoring=False, run_history=False,
            footer_links=[], max_file_size=gate.MAX_UPLOAD, state_session_capacity=8,
            app_kwargs={"middleware": [middleware]}, **page.STYLE)
    except OSError as reason:
        raise InputError(f"--port={port}: is taken on {host}, or --host is not an address of this machine; give "
                         "another one") from reason
    return blocks
