"""Filter of HTTP requests to the page's server: only the page, its own files, and bodies of limited size."""

import json
from collections.abc import Iterable
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_UPLOAD = 50 * 2**20  # bytes of a photograph
MAX_EVENT = 8 * 2**20  # bytes of an event: brush strokes or the use of a button
MAX_PATH, MAX_NAME = 1000, 255  # bytes of a path and of a name in it; the file system would raise for longer ones
MAX_DIGITS = 20  # of the header content-length
FILES, UPLOAD, EVENT = "/gradio_api/file=", "/gradio_api/upload", "/gradio_api/queue/join"
PAGES = {"/", "/theme.css", "/favicon.ico", "/gradio_api/startup-events", "/gradio_api/queue/data",
         "/gradio_api/upload_progress", UPLOAD, EVENT}
FOLDERS = ("/assets/", "/static/", "/gradio_api/heartbeat/", FILES)
# The page's scripts can connect to this server only. Gradio's templates need eval.
POLICY = ("default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
          "img-src 'self' data: blob:; connect-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; "
          "base-uri 'self'; form-action 'none'; frame-ancestors 'none'")


class Gate:
    """ASGI middleware that passes the requests that the page needs and answers all others with an HTTP error.

    Files are served from `folder` only. `hosts` are the accepted host names, None for any: a page of another site may
    let its own name resolve to 127.0.0.1.
    """

    def __init__(self, app: ASGIApp, folder: Path, hosts: Iterable[str] | None) -> None:
        self.app = app
        self.folder = folder.resolve()
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        error = self._check_request(scope)
        if error is None and scope["path"] == EVENT:
            body = await _read_body(receive)
            error = self._check_event(body)
            receive = _replay(body, receive)
        if error is not None:
            status, message = error
            return await PlainTextResponse(message, status)(scope, receive, send)

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Content-Security-Policy"] = POLICY
            await send(message)

        await self.app(scope, receive, send_with_policy)

    def _check_request(self, scope: Scope) -> tuple[int, str] | None:
        """Return the HTTP status and message of a rejected request, None for an accepted one."""
        headers, path = Headers(scope=scope), scope.get("path", "")
        names = path.split("/")
        too_long = len(path.encode()) > MAX_PATH or max(len(name.encode()) for name in names) > MAX_NAME
        invalid = too_long or "\0" in path or ".." in names
        if scope["type"] != "http" or invalid or (path not in PAGES and not path.startswith(FOLDERS)):
            return 404, "no such page"
        if self.hosts is not None and headers.get("host", "").rsplit(":", 1)[0] not in self.hosts:
            return 403, "host name not accepted"
        if path.startswith(FILES) and not self._is_served(path.removeprefix(FILES)):
            return 403, "no such file"
        if scope["method"] == "POST":
            length, limit = headers.get("content-length", ""), MAX_EVENT if path == EVENT else MAX_UPLOAD + 2**16
            if "transfer-encoding" in headers or not length.isdecimal():  # a chunked body has no known length
                return 411, "the length is missing"
            if len(length) > MAX_DIGITS or int(length) > limit:
                return 413, f"more than {limit >> 20} MiB"
        return None

    def _check_event(self, body: bytes) -> tuple[int, str] | None:
        """Return the error for a body with a "path" outside the folder, at any depth, or an URL; otherwise None."""
        paths: list[object] = []

        def collect(pairs: list[tuple[str, object]]) -> list[tuple[str, object]]:
            paths.extend(value for key, value in pairs if key == "path")
            return pairs

        try:
            json.loads(body, object_pairs_hook=collect)
        except (ValueError, RecursionError):
            return 400, "not JSON"
        accepted = all(isinstance(path, str) and self._is_served(path) for path in paths)
        return None if accepted else (403, "no such file")

    def _is_served(self, name: str) -> bool:
        """Return whether it is a file in the folder, with links resolved."""
        try:
            file = Path(name).resolve()
            return file.is_relative_to(self.folder) and file.is_file()
        except (OSError, ValueError, RuntimeError):  # a long name, a zero byte, a loop of links
            return False


async def _read_body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that returns the body, which has already been read, and then the following messages."""
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replaying_receive() -> Message:
        return next(messages, None) or await receive()

    return replaying_receive
