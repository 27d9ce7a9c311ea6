"""Filter of HTTP requests to the page's server: only the page and its interface, and bodies of limited size."""

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STATIC = Path(__file__).parent / "static"
MAX_UPLOAD = 50 * 2**20  # bytes of a photograph
MAX_BODY = 3 * MAX_UPLOAD  # bytes of a request: a photograph, its mask or strokes, and the pixels filled before
MAX_IN_FLIGHT = 2**30  # bytes of all requests that are being received or processed, which are on disk
MAX_DIGITS = 20  # of the header content-length
POSTS = {"/api/preview", "/api/mask", "/api/fill", "/api/repair", "/api/sources"}
PAGES = {"/", "/api/info", "/api/queue"} | {f"/static/{file.name}" for file in STATIC.glob("*.*s")}
HEADERS = {
    # The page's scripts can connect to this server only.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
                               "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}  # fmt: skip


class Gate:
    """ASGI middleware that passes the requests that the page needs and answers all others with an HTTP error.

    `hosts` are the accepted host names, None for any: a page of another site may let its own name resolve to 127.0.0.1.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] | None) -> None:
        self.app = app
        self.hosts = hosts
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        error = self._check_request(scope)
        if error is not None:
            status, message = error
            headers = HEADERS | ({"Retry-After": "2"} if status == 503 else {})
            return await PlainTextResponse(message, status, headers)(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        size = int(Headers(scope=scope).get("content-length", "0")) if scope["method"] == "POST" else 0
        self.in_flight += size
        try:
            await self.app(scope, receive, send_with_headers)
        finally:
            self.in_flight -= size

    def _check_request(self, scope: Scope) -> tuple[int, str] | None:
        """Return the HTTP status and message of a rejected request, None for an accepted one."""
        headers, path = Headers(scope=scope), scope.get("path", "")
        if scope["type"] != "http" or path not in PAGES | POSTS:
            return 404, "no such page"
        host = headers.get("host", "")
        if self.hosts is not None and host.rsplit(":", 1)[0] not in self.hosts:
            return 403, "host name not accepted"
        if scope["method"] != "POST":
            return None if path in PAGES and scope["method"] in ("GET", "HEAD") else (405, "use POST")
        if path not in POSTS:
            return 405, "use GET"
        if "origin" in headers and not _is_same_host(headers["origin"], host):
            return 403, "requests of other pages are not accepted"
        length = headers.get("content-length", "")
        if "transfer-encoding" in headers or not (length.isascii() and length.isdecimal()):
            return 411, "the length is missing"  # a chunked body has no known length
        if len(length) > MAX_DIGITS or int(length) > MAX_BODY:
            return 413, f"more than {MAX_BODY >> 20} MiB"
        if self.in_flight + int(length) > MAX_IN_FLIGHT:
            return 503, "too many photos at the same time; try again in some seconds"
        return None


def _is_same_host(origin: str, host: str) -> bool:
    """Return whether a page of that origin is one of this server."""
    try:
        return urlsplit(origin).netloc == host
    except ValueError:  # a bracket without its pair
        return False
