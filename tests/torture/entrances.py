"""Where other people's files come in: each with valid seeds, and the code that users call with them."""

import asyncio
import base64
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import h11
import jax
from absl import flags
from ml_collections import config_flags

from mai_jax import checkpoint, command
from mai_jax import config as config_lib
from mai_jax.comparison import finished
from mai_jax.config import Data, Holes
from mai_jax.data import hole_files, images, sources
from mai_jax.data.doctor import files as doctor
from mai_jax.demo import pictures, work
from mai_jax.demo.gate import FILES, Gate
from mai_jax.evaluation.holes import manifest
from mai_jax.evaluation.pairs import FolderPairs
from mai_jax.inference import trained
from mai_jax.models.convert import pconv, torch_files
from mai_jax.models.convert.originals import Tensors
from mai_jax.nn import weights
from mai_jax.photos import FORMAT_OF_SUFFIX, MAX_PIXELS
from mai_jax.repair import filling
from mai_jax.repair.jobs import Job
from mai_jax.training import replay
from mai_jax.types import InputError
from tests.torture import seeds
from tests.torture.mutation import Tree

ROOT = Path(__file__).parents[2]
SMALL = 64  # MiB: what is no picture stays below this
PICTURE = 16 * MAX_PIXELS >> 20  # a photograph of four channels of 16 bits, read and about to be written


class Entrance(NamedTuple):
    """`use` is given a folder with the files; it may raise RunError and nothing else, and take `memory` MiB.

    `share` says how many inputs are for it.
    """

    seeds: Callable[[], list[Tree]]
    use: Callable[[Path], object]
    share: int
    memory: int


def _repair(folder: Path) -> None:
    photo = _only(folder, besides=("mask.png",))
    content = photo.read_bytes() if photo.is_file() else b""
    suffixes = [photo.suffix, photo.suffix, *FORMAT_OF_SUFFIX]
    output = folder / "out" / f"filled{suffixes[sum(content[-9:]) % len(suffixes)]}"
    filling.fill(lambda rgb, hole: 255 - rgb, Job(photo, folder / "mask.png", output))


def _photographs(folder: Path) -> None:
    source = sources.open_source(Data(train=str(folder), test=str(folder)), "train")
    for i in range(len(source)):
        doctor.look(source, i, 64)
        encoded = source[i]
        images.resize_crop(images.decode(encoded["bytes"], encoded["id"], draft=24), 16, 16, (0.2, 0.9))


def _masks(folder: Path) -> None:
    hole_files.load(str(folder), 32, Holes(max_ratio=0.99))
    for path in folder.iterdir():
        hole_files.read_known(path, hole_files.read_mask(path).shape, "hole")


def _pairs(folder: Path) -> None:
    for pair in FolderPairs(*(str(folder / part) for part in ("painted", "truth", "masks"))):
        assert pair.digest


def _manifest(folder: Path) -> None:
    listed = manifest.load(folder)
    for entry in listed.entries:
        listed.read_hole(entry)


def _checkpoint(folder: Path) -> None:
    reader = checkpoint.Reader(folder)
    reader.read("params", jax.eval_shape(seeds.small_params))


def _public_pconv(folder: Path) -> None:
    networks = {"generator": Tensors("--generator=FILE", torch_files.read(_only(folder)))}
    config = pconv.config(networks)
    config_lib.check(config)
    pconv.from_torch(networks, config)


def _weights(folder: Path) -> None:
    path = _only(folder)
    weights.names(path, "weights of a net")
    weights.read(path, seeds.WEIGHTS, "weights of a net")


def _config(folder: Path) -> None:
    try:
        values = json.loads(_sent(_only(folder)))
    except (ValueError, RecursionError) as reason:
        raise InputError("not JSON") from reason
    config = config_lib.from_dict(values)
    config_lib.check(config)
    assert config_lib.from_dict(json.loads(json.dumps(config_lib.to_dict(config)))) == config
    jax.random.key(config.seed)


def _overrides(folder: Path) -> None:
    content = _sent(_only(folder)).replace(b"\0", b"")  # no shell can give a zero byte
    lines = content.decode(errors="surrogateescape").splitlines()
    given = [line for line in lines if line.startswith("--config.")]
    flags.FLAGS.unparse_flags()
    for name in [name for name in flags.FLAGS if name.startswith("config.")]:
        delattr(flags.FLAGS, name)
    if "config" not in flags.FLAGS:
        config_flags.DEFINE_config_file("config")
    sys.argv = ["train.py", f"--config={ROOT / 'configs/quickstart.py'}", *given]
    try:
        command._parse(list(sys.argv))
    except SystemExit as error:
        raise InputError("refused, and one line said why") from error
    config_lib.check(flags.FLAGS.config)


def _records(folder: Path) -> None:
    found = finished.read(folder, finished.configs(folder))
    finished.series(found.logs["mai"], "step")


def _request(folder: Path) -> None:
    """The gate between a browser's bytes and the page, put together as uvicorn does it."""
    served = folder / "served"
    served.mkdir()
    (served / "ours.png").write_bytes(seeds.mask())
    raw = _sent(folder / "request.http").replace(b"ours.png", os.fsencode(served / "ours.png"))
    connection, body = h11.Connection(h11.SERVER), []
    try:
        connection.receive_data(raw)
        connection.receive_data(b"")
        head = connection.next_event()
        if not isinstance(head, h11.Request):
            raise InputError("no request")
        while isinstance(event := connection.next_event(), h11.Data):
            body.append(bytes(event.data))
    except h11.RemoteProtocolError as reason:
        raise InputError("no HTTP") from reason
    asyncio.run(_answer(head, body, served))


async def _answer(head: h11.Request, body: list[bytes], served: Path) -> None:
    path, _, query = bytes(head.target).partition(b"?")
    scope = {"type": "http", "method": head.method.decode(), "path": unquote(path.decode("ascii")), "raw_path": path,
             "query_string": query, "headers": [(bytes(k).lower(), bytes(v)) for k, v in head.headers]}
    messages = iter([{"type": "http.request", "body": part, "more_body": True} for part in body])
    answered = []

    async def receive() -> dict:
        return next(messages, {"type": "http.request", "body": b"", "more_body": False})

    async def send(message: dict) -> None:
        answered.append(message)

    async def page(scope: dict, receive: Callable, send: Callable) -> None:
        if scope["path"].startswith(FILES):
            file = Path(scope["path"].removeprefix(FILES)).resolve()
            assert file.is_relative_to(served.resolve()), f"the gate let {file} through"
        await send({"type": "http.response.start", "status": 200, "headers": []})

    await Gate(page, served, ("127.0.0.1",))(scope, receive, send)
    if answered[0]["status"] >= 400:
        raise InputError(f"status {answered[0]['status']}")


def _visit(folder: Path) -> None:
    photo = _only(folder, besides=("mask.png", "strokes.png"))
    given = work.opened(_sent(photo), photo.name)
    pictures.data_url(pictures.tinted(given.photo.rgb, given.given))
    mask = _sent(folder / "mask.png")
    given = work.with_given(given, mask, "mask.png", "hole", with_transparent=work.has_transparency(given.photo))
    painted = "data:image/png;base64," + base64.b64encode(_sent(folder / "strokes.png")).decode()
    work.download(work.filled(given, lambda rgb, hole: 255 - rgb, painted, 1))


def _only(folder: Path, besides: tuple[str, ...] = ()) -> Path:
    """The file that is there; that of a name that is not, if it was removed."""
    return next((path for path in sorted(folder.iterdir()) if path.name not in besides), folder / "none.png")


def _sent(path: Path) -> bytes:
    """What a browser can send: nothing but bytes."""
    return path.read_bytes() if path.is_file() and not path.is_symlink() else b""


ENTRANCES = {
    "photographs to repair": Entrance(seeds.jobs, _repair, 20, PICTURE),
    "photographs to learn from": Entrance(seeds.folders, _photographs, 14, PICTURE),
    "masks": Entrance(seeds.any_images, _masks, 8, PICTURE),
    "folders to measure": Entrance(seeds.pairs, _pairs, 6, PICTURE),
    "holes of a benchmark": Entrance(seeds.manifests, _manifest, 8, SMALL),
    "checkpoints": Entrance(seeds.checkpoints, _checkpoint, 8, SMALL),
    "checkpoints of MAI": Entrance(seeds.trained, lambda folder: trained.read(folder), 1, 2 * SMALL),
    "failed steps": Entrance(seeds.failed_steps, lambda folder: replay.read(_only(folder)), 4, SMALL),
    "state dicts of PyTorch": Entrance(seeds.state_dicts, lambda folder: torch_files.read(_only(folder)), 10, SMALL),
    "the public PConv": Entrance(seeds.public_pconv, _public_pconv, 1, 2 * SMALL),
    "weights of VGG and the like": Entrance(seeds.weights, _weights, 5, SMALL),
    "configs": Entrance(seeds.configs, _config, 6, SMALL),
    "flags": Entrance(seeds.overrides, _overrides, 4, SMALL),
    "records of comparisons": Entrance(seeds.comparisons, _records, 5, SMALL),
    "requests to the page": Entrance(seeds.requests, _request, 6, SMALL),
    "visits of the page": Entrance(seeds.visits, _visit, 6, PICTURE),
}
