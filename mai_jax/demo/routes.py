"""The HTTP interface of the page. Every request is complete in itself: the server keeps no photographs."""

import asyncio
import base64
import functools
import logging
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from mai_jax.demo import editing, pictures
from mai_jax.demo.editing import Edit, Layer
from mai_jax.demo.gate import MAX_UPLOAD, STATIC
from mai_jax.demo.lane import Busy, Lane
from mai_jax.errors import InputError, RunError
from mai_jax.inference import Inpainter

MAX_GROWTH = 32  # pixels by which a hole is grown or shrunk
MAX_NAME = 255  # bytes of a file name
UPLOAD_SECONDS = 600  # for a request to arrive
GONE = 499  # the client has closed the connection
STAGES = {"attention_1": "Coarse stage", "attention_2": "Fine stage"}
READABLE = " !#$&'()*+,/:;=?@[]"  # characters that are not escaped in a header

KINDS = {".css": "css", ".js": "javascript"}
# The page, by path; read once.
FILES = {"/" if file.name == "index.html" else f"/static/{file.name}": file.read_bytes() for file in STATIC.iterdir()}

log = logging.getLogger(__name__)

Models = dict[str, Inpainter]


class Given(NamedTuple):
    """The fields of a request. `models` are those of the server."""

    form: FormData
    models: Models

    def text(self, name: str, default: str = "") -> str:
        """Return a field without a file. Raises InputError for a file."""
        value = self.form.get(name, default)
        if not isinstance(value, str):
            raise InputError(f"{name}: must not be a file")
        return value

    def numbers(self, name: str, count: int, default: str, largest: int, smallest: int = 0) -> list[float]:
        """Return a field of numbers from `smallest` to `largest`, joined by commas.

        Raises InputError for another value.
        """
        text = self.text(name, default)
        try:
            values = [float(part) for part in text.split(",")]
        except ValueError:
            values = []
        if len(values) != count or not all(smallest <= value <= largest for value in values):
            expected = "a number" if count == 1 else f"{count} numbers"
            raise InputError(f"{name}={text}: must be {expected} from {smallest} to {largest}")
        return values

    def choice(self, name: str, choices: list[str]) -> str:
        """Return a field that is one of `choices`, by default the first. Raises InputError for another value."""
        value = self.text(name, choices[0])
        if value not in choices:
            raise InputError(f"{name}={value}: must be one of {', '.join(choices)}")
        return value

    def file(self, name: str) -> tuple[bytes, str] | None:
        """Return content and name of a file. Raises InputError if it is not a file or too large."""
        file = self.form.get(name)
        if file is None:
            return None
        if not isinstance(file, UploadFile):
            raise InputError(f"{name}: must be a file, such as -F {name}=@{name}.png")
        if (file.size or 0) > MAX_UPLOAD:
            raise InputError(f"{name}: more than {MAX_UPLOAD >> 20} MiB; reduce it")
        file.file.seek(0)
        last = PurePosixPath((file.filename or "").replace("\\", "/")).name.replace("\0", "")
        return file.file.read(), last.encode()[-MAX_NAME:].decode(errors="ignore") or name

    def layer(self, name: str) -> Layer | None:
        """Return the pixels that were filled before."""
        found = self.file(name)
        left, top = self.numbers(f"{name}_at", 2, "0,0", 2**31)
        return found and Layer(found[0], int(left), int(top))

    def edit(self, layer: str = "layer") -> Edit:
        """Return the photograph with what was filled before and the strokes. Raises InputError without a photograph."""
        photo = self.file("image")
        if photo is None:
            raise InputError("image: is missing; send a photograph, with curl -F image=@photo.jpg")
        edit = editing.open_photo(*photo)
        if before := self.layer(layer):
            edit = editing.apply_layer(edit, before)
        if strokes := self.file("strokes"):
            edit = edit._replace(hole=pictures.hole_from_strokes(strokes[0], *edit.size))
        return editing.add_transparency(edit) if self.choice("transparent", ["0", "1"]) == "1" else edit

    @property
    def growth(self) -> int:
        """Pixels by which the hole is enlarged, negative to shrink it."""
        return int(*self.numbers("grow", 1, "0", MAX_GROWTH, -MAX_GROWTH))

    @property
    def mask_means(self) -> str:
        """What the marked part of a mask is."""
        return self.choice("mask_means", ["hole", "valid"])

    @property
    def model(self) -> Inpainter:
        """The model that is asked for, by default the first."""
        return self.models[self.choice("model", list(self.models))]


def build(models: Models, privacy: str) -> tuple[Starlette, Callable[[], None]]:
    """Return the application, and what to call when it has ended. `privacy` says what happens to the photographs."""
    lanes = {"slow": Lane(), "fast": Lane()}  # a preview does not wait for fills
    info = {
        "models": [{"name": name, "description": model.description, "sources": editing.has_sources(model)}
                   for name, model in models.items()],
        "privacy": privacy, "max_upload": MAX_UPLOAD, "max_growth": MAX_GROWTH,
    }  # fmt: skip

    async def show_info(request: Request) -> Response:
        return JSONResponse(info)

    async def show_queue(request: Request) -> Response:
        ticket = request.query_params.get("ticket", "")
        return JSONResponse({"before": next((n for lane in lanes.values() if (n := lane.before(ticket)) is not None),
                                            None)})

    def post(path: str, work: Callable[[Given], Response]) -> Route:
        endpoint = functools.partial(_answer, lanes=lanes, models=models, work=work)
        return Route(path, endpoint, methods=["POST"])

    def close() -> None:
        for lane in lanes.values():
            lane.close()

    return Starlette(routes=[
        Route("/api/info", show_info), Route("/api/queue", show_queue),
        post("/api/preview", preview), post("/api/mask", read_mask), post("/api/fill", fill),
        post("/api/repair", repair), post("/api/sources", show_sources),
        *(Route(path, functools.partial(_show_file, name=path), methods=["GET"]) for path in FILES),
    ], exception_handlers={Exception: _report_error}), close  # fmt: skip


async def _show_file(request: Request, *, name: str) -> Response:
    return Response(FILES[name], media_type=f"text/{KINDS.get(PurePosixPath(name).suffix, 'html')}")


async def _report_error(request: Request, error: Exception) -> Response:
    log.error("%s failed", request.url.path, exc_info=error)
    return PlainTextResponse("an error in the server, which its output describes", 500)


async def _answer(
    request: Request, *, lanes: dict[str, Lane], models: Models, work: Callable[[Given], Response]
) -> Response:  # fmt: skip
    """Return the response of `work`, which waits for its turn; an error of the user is one line of text."""
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            form = await request.form(max_files=5, max_fields=16)
    except TimeoutError:
        return PlainTextResponse("the upload took too long; try again", 408)
    try:
        given = Given(form, models)
        is_slow = work in (fill, show_sources) or (work is repair and "mask" in form)
        lane = lanes["slow" if is_slow else "fast"]
        return await _run_while_connected(request, lane.run(given.text("ticket"), functools.partial(work, given)))
    except RunError as error:
        return PlainTextResponse(str(error), 400)
    except Busy:
        return PlainTextResponse("too many photos are waiting; try again in some seconds", 503, {"Retry-After": "2"})
    finally:
        await form.close()


async def _run_while_connected(request: Request, work: Any) -> Response:
    """Return the response of `work`; cancel it if the browser leaves while it waits."""

    async def wait_until_gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(wait_until_gone())
    await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
    gone.cancel()
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
    return Response(status_code=GONE) if task.cancelled() else task.result()


def preview(given: Given) -> Response:
    """Return the displayed picture of a photograph, with its size and whether it has a transparent part."""
    edit = given.edit()
    kind, content = pictures.preview(edit.photo.rgb, edit.photo.alpha)
    height, width = edit.size
    return Response(content, media_type=kind, headers={
        "X-Size": f"{width},{height}", "X-Transparent": str(int(editing.has_transparency(edit.photo)))})


def read_mask(given: Given) -> Response:
    """Return the hole of a mask file for a photograph of that size, as a picture of the displayed size."""
    found, (width, height) = given.file("mask"), given.numbers("size", 2, "", 2**31)
    if found is None:
        raise InputError("mask: is missing")
    mask = editing.read_mask(*found, given.mask_means, (int(height), int(width)))
    return Response(pictures.hole_picture(mask.hole), media_type="image/png", headers={
        "X-Remark": _escape(editing.mask_remark(mask, given.mask_means))})


def fill(given: Given) -> Response:
    """Return the filled pixels, those of before included, as a layer on the photograph."""
    edit = editing.fill(given.edit(), given.model, given.growth)
    layer = editing.encode_layer(edit)
    return Response(layer.encoded, media_type="image/png", headers={
        "X-Layer-At": f"{layer.left},{layer.top}", "X-Share": f"{edit.hole.mean():.6f}"})


def repair(given: Given) -> Response:
    """Return the file of the photograph with the hole of its mask filled, or with what was filled before."""
    edit, reading = given.edit(), "nothing was filled now"
    if mask_file := given.file("mask"):
        mask = editing.read_mask(*mask_file, given.mask_means, edit.size)
        reading = editing.mask_remark(mask, given.mask_means)
        if not mask.hole.any() and not edit.hole.any():
            raise InputError(reading)
        edit = editing.fill(edit._replace(hole=edit.hole | mask.hole), given.model, given.growth)
    if not edit.filled.any():
        raise InputError("mask: is missing; send the mask of what to fill, with curl -F mask=@mask.png")
    name, encoded = editing.encode_result(edit)
    return Response(encoded, media_type="application/octet-stream", headers={
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}", "X-Remark": _escape(reading)})


def show_sources(given: Given) -> Response:
    """Return the sources of the pixel `at` of the hole that was filled last."""
    before, at = given.edit(), given.numbers("at", 2, "", 1)
    result = given.layer("result")
    if result is None:
        raise InputError("result: is missing")
    after = editing.apply_layer(before, result)
    shown = editing.source_pictures(before, after, given.model, given.growth, (at[0], at[1]))
    return JSONResponse([{"title": STAGES.get(name, name),
                          "picture": f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"}
                         for name, content in shown])  # fmt: skip


def _escape(text: str) -> str:
    return quote(text, safe=READABLE)
