"""What the page's server answers at all: the page and its own files, to its own visitors, in bounded bites."""

import json
from collections.abc import Iterable
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_UPLOAD = 50 * 2**20  # bytes of a photograph
MAX_EVENT = 8 * 2**20  # bytes of what is said to the page: what was painted, and which buttons were pressed
LONGEST, LONGEST_NAME = 1000, 255  # bytes of a path and of a name in it; the file system would raise beyond
LONGEST_LENGTH = 20  # digits
FILES, UPLOAD, EVENT = "/gradio_api/file=", "/gradio_api/upload", "/gradio_api/queue/join"
PAGES = {"/", "/theme.css", "/favicon.ico", "/gradio_api/startup-events", "/gradio_api/queue/data",
         "/gradio_api/upload_progress", UPLOAD, EVENT}
FOLDERS = ("/assets/", "/static/", "/gradio_api/heartbeat/", FILES)
# Whatever the page's scripts may try, the browser asks nobody but this server. They need eval for their templates.
POLICY = ("default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
          "img-src 'self' data: blob:; connect-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; "
          "base-uri 'self'; form-action 'none'; frame-ancestors 'none'")


class Gate:
    """ASGI middleware that lets through what the page needs and answers the rest with an HTTP error.

    `folder` is the only one of which files are served; `hosts` are the names under which the server may be asked, any
    if None: other sites' pages may point a name of theirs at 127.0.0.1.
    """

    def __init__(self, app: ASGIApp, folder: Path, hosts: Iterable[str] | None) -> None:
        self.app = app
        self.folder = folder.resolve()
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        refused = self._refusal(scope)
        if refused is None and scope["path"] == EVENT:
            body = await _whole(receive)
            refused = self._refused_event(body)
            receive = _again(body, receive)
        if refused is not None:
            status, words = refused
            return await PlainTextResponse(words, status)(scope, receive, send)

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Content-Security-Policy"] = POLICY
            await send(message)

        await self.app(scope, receive, send_with_policy)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers, path = Headers(scope=scope), scope.get("path", "")
        names = path.split("/")
        too_long = len(path.encode()) > LONGEST or max(len(name.encode()) for name in names) > LONGEST_NAME
        odd = too_long or "\0" in path or ".." in names
        if scope["type"] != "http" or odd or (path not in PAGES and not path.startswith(FOLDERS)):
            return 404, "no such page"
        if self.hosts is not None and headers.get("host", "").rsplit(":", 1)[0] not in self.hosts:
            return 403, "not under this name"
        if path.startswith(FILES) and not self._is_ours(path.removeprefix(FILES)):
            return 403, "no such file"
        if scope["method"] == "POST":
            length, most = headers.get("content-length", ""), MAX_EVENT if path == EVENT else MAX_UPLOAD + 2**16
            if "transfer-encoding" in headers or not length.isdecimal():  # a body in chunks is as long as it likes
                return 411, "the length is missing"
            if len(length) > LONGEST_LENGTH or int(length) > most:
                return 413, f"more than {most >> 20} MiB"
        return None

    def _refused_event(self, body: bytes) -> tuple[int, str] | None:
        """Refuses files outside of our folder, wherever they are named, and addresses that the server would fetch."""
        named = []

        def note(pairs: list[tuple[str, object]]) -> list[tuple[str, object]]:
            named.extend(value for key, value in pairs if key == "path")
            return pairs

        try:
            json.loads(body, object_pairs_hook=note)
        except (ValueError, RecursionError):
            return 400, "not JSON"
        ours = all(isinstance(path, str) and self._is_ours(path) for path in named)
        return None if ours else (403, "no such file")

    def _is_ours(self, name: str) -> bool:
        """Whether it is a file in our folder, links followed."""
        try:
            file = Path(name).resolve()
            return file.is_relative_to(self.folder) and file.is_file()
        except (OSError, ValueError, RuntimeError):  # a name too long, a zero byte, a circle of links
            return False


async def _whole(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body which has already been read, then what follows."""
    given = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive_again() -> Message:
        return next(given, None) or await receive()

    return receive_again
