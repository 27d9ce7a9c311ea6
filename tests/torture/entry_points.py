"""The entry points of untrusted files: valid seed inputs, and the code that users call with such files."""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import h11
import jax
import numpy as np

from mai_jax import config as config_lib
from mai_jax.cli import config_argument
from mai_jax.cli.main import parser_of
from mai_jax.config import Data, Holes
from mai_jax.convert import pconv, torch_files
from mai_jax.convert.state_dict import Tensors
from mai_jax.data import containers, images, mask_files, mask_reader, sources
from mai_jax.demo import editing, pictures, routes
from mai_jax.demo.gate import Gate
from mai_jax.doctor import image_checks
from mai_jax.errors import InputError
from mai_jax.evaluation.dataset import FolderEvalDataset
from mai_jax.evaluation.mask_benchmark import coco, manifest
from mai_jax.image_io import FORMAT_OF_SUFFIX, MAX_PIXELS
from mai_jax.inference import Inpainter, model_loading, photo_repair
from mai_jax.inference.options import Options
from mai_jax.inference.photo_holes import hole_of_masks, read_mask
from mai_jax.inference.photo_jobs import Job
from mai_jax.nn import weights
from mai_jax.training import checkpointing, nonfinite, packed_model
from tests.torture import seed_collections, seed_inputs
from tests.torture.mutation import Tree
from tools.results_page import load_results

ROOT = Path(__file__).parents[2]
SMALL = 64  # MiB, for inputs other than images
PICTURE = 16 * MAX_PIXELS >> 20  # MiB: a photograph of four channels of 16 bits, decoded and encoded


class EntryPoint(NamedTuple):
    """`use` reads the files of a folder; it may raise RunError and nothing else, and use `memory` MiB.

    `share` is its relative number of inputs.
    """

    seeds: Callable[[], list[Tree]]
    use: Callable[[Path], object]
    share: int
    memory: int


def _repair(folder: Path) -> None:
    photo = _only_file(folder, exclude=("mask.png",))
    content = photo.read_bytes() if photo.is_file() else b""
    suffixes = [photo.suffix, photo.suffix, *FORMAT_OF_SUFFIX]
    output = folder / "out" / f"filled{suffixes[sum(content[-9:]) % len(suffixes)]}"
    photo_repair.fill(lambda rgb, hole: 255 - rgb, Job(photo, (folder / "mask.png",), output))


def _frames(folder: Path) -> None:
    film = _only_file(folder, exclude=("mask.png",))
    job = Job(film, (folder / "mask.png",), folder / f"filled{film.suffix}")
    photo_repair.fill(lambda rgb, hole: 255 - rgb, job, Options(frames=True))


def _listed(folder: Path) -> None:
    """Read the photographs of a list, unless it names files outside of the folder, which a list may do."""
    path = next(iter(sorted(folder.glob("list.*"))), folder / "list.txt")
    names = containers.open_container(str(path), "list").names
    if not all(os.path.abspath(folder / name).startswith(f"{folder}{os.sep}") for name in names):
        raise InputError("files outside of the folder")
    _photographs(path)


def _photographs(address: Path) -> None:
    source = sources.open_source(Data(train=str(address), test=str(address)), "train")
    for i in range(len(source)):
        image_checks.inspect_image(source, i, 64)
        encoded = source[i]
        images.resize_crop(images.decode(encoded["bytes"], encoded["id"], draft=24), 16, 16, (0.2, 0.9))


def _masks(folder: Path) -> None:
    mask_files.load(str(folder), 32, Holes(max_ratio=0.99))
    for path in folder.iterdir():
        mask_reader.read_file(path, "hole")
        mask_reader.read_file(path, "hole", 100)


def _soft_mask(folder: Path) -> None:
    hole_of_masks([read_mask(_only_file(folder))], (seed_inputs.SIZE,) * 2, Options(soft=True), "photo.png")


def _evaluation_folders(folder: Path) -> None:
    dataset = FolderEvalDataset(*(str(folder / part) for part in ("predictions", "truth", "masks")))
    for pair in dataset:
        assert pair.digest
    dataset.check_masks()


def _manifest(folder: Path) -> None:
    listed = manifest.load(folder)
    for entry in listed.entries:
        listed.read_hole(entry)


def _segments(folder: Path) -> None:
    coco.make(_only_file(folder), folder / "set", size=32, per_bin=1, edges=(0.01, 0.3, 0.6))


def _checkpoint(folder: Path) -> None:
    reader = checkpointing.CheckpointReader(folder)
    reader.read("params", jax.eval_shape(seed_inputs.small_params))


def _packed(folder: Path) -> None:
    reader = packed_model.PackedReader(folder)
    reader.read("params", {"params": {"generator": jax.eval_shape(seed_inputs.small_params)}, "batch_stats": {}})


def _public_pconv(folder: Path) -> None:
    networks = {"generator": Tensors("--generator=FILE", torch_files.read(_only_file(folder)))}
    config = pconv.config(networks)
    config_lib.check(config)
    pconv.from_torch(networks, config)


def _weights(folder: Path) -> None:
    path = _only_file(folder)
    weights.names(path, "weights of a net")
    weights.read(path, seed_inputs.WEIGHTS, "weights of a net")


def _config(folder: Path) -> None:
    try:
        values = json.loads(_content(_only_file(folder)))
    except (ValueError, RecursionError) as reason:
        raise InputError("not JSON") from reason
    config = config_lib.from_dict(values)
    config_lib.check(config)
    assert config_lib.from_dict(json.loads(json.dumps(config_lib.to_dict(config)))) == config
    jax.random.key(config.seed)


def _overrides(folder: Path) -> None:
    content = _content(_only_file(folder)).replace(b"\0", b"")  # no shell can pass a zero byte
    lines = content.decode(errors="surrogateescape").splitlines()
    given = [line for line in lines if line.startswith("--config.")]
    arguments = parser_of("train").parse([f"--config={ROOT / 'configs/quickstart.py'}", *given])
    config_lib.check(config_argument.load(arguments))


def _records(folder: Path) -> None:
    found = load_results.read(folder, load_results.configs(folder))
    load_results.series(found.logs["mai"], "step")


def _request(folder: Path) -> None:
    """Pass the bytes of an HTTP request to the page's server, in the way uvicorn does."""
    connection, body = h11.Connection(h11.SERVER), []
    try:
        connection.receive_data(_content(folder / "request.http"))
        connection.receive_data(b"")
        head = connection.next_event()
        if not isinstance(head, h11.Request):
            raise InputError("no request")
        while isinstance(event := connection.next_event(), h11.Data):
            body.append(bytes(event.data))
    except h11.RemoteProtocolError as reason:
        raise InputError("no HTTP") from reason
    asyncio.run(_answer(head, body))


class Negative(Inpainter):
    """Fills with the negative, without a network."""

    description = "the negative"

    def __init__(self) -> None:
        pass

    def __call__(self, image, hole):
        return np.iinfo(image.dtype).max - image


async def _answer(head: h11.Request, body: list[bytes]) -> None:
    path, _, query = bytes(head.target).partition(b"?")
    scope = {"type": "http", "method": head.method.decode(), "path": unquote(path.decode("ascii")), "raw_path": path,
             "query_string": query, "headers": [(bytes(k).lower(), bytes(v)) for k, v in head.headers]}
    messages = iter([{"type": "http.request", "body": part, "more_body": True} for part in body]
                    + [{"type": "http.request", "body": b"", "more_body": False}])
    responses = []

    async def receive() -> dict:
        return next(messages, None) or await asyncio.Event().wait()  # until the browser leaves

    async def send(message: dict) -> None:
        responses.append(message)

    application, close = routes.build({"negative": Negative()}, "")
    try:
        await Gate(application, ("127.0.0.1",))(scope, receive, send)
    finally:
        close()
    if responses[0]["status"] >= 400:
        raise InputError(f"status {responses[0]['status']}")


def _session(folder: Path) -> None:
    photo = _only_file(folder, exclude=("mask.png", "strokes.png", "layer.png"))
    edit = editing.open_photo(_content(photo), photo.name)
    pictures.preview(edit.photo.rgb, edit.photo.alpha)
    mask = editing.read_mask(_content(folder / "mask.png"), "mask.png", "hole", edit.size)
    strokes = pictures.hole_from_strokes(_content(folder / "strokes.png"), *edit.size)
    pictures.hole_picture(mask.hole)
    if edit.pixels.dtype == np.uint8:
        edit = editing.apply_layer(edit, editing.Layer(_content(folder / "layer.png"), 1, 2))
    edit = editing.fill(editing.add_transparency(edit._replace(hole=mask.hole | strokes)), Negative(), 1)
    editing.apply_layer(edit, editing.encode_layer(edit))
    editing.encode_result(edit)


def _only_file(folder: Path, exclude: tuple[str, ...] = ()) -> Path:
    """Return the file of the folder that is not in `exclude`, or a missing path if it was removed."""
    return next((path for path in sorted(folder.iterdir()) if path.name not in exclude), folder / "none.png")


def _content(path: Path) -> bytes:
    """Return the bytes of a file, as a browser sends them; empty if it is not a regular file."""
    return path.read_bytes() if path.is_file() and not path.is_symlink() else b""


ENTRY_POINTS = {
    "photographs to repair": EntryPoint(seed_inputs.jobs, _repair, 20, PICTURE),
    "frames to repair": EntryPoint(seed_collections.films, _frames, 8, PICTURE),
    "photographs to learn from": EntryPoint(seed_inputs.folders, _photographs, 14, PICTURE),
    "archives to learn from": EntryPoint(seed_collections.packed_photographs,
                                         lambda folder: _photographs(_only_file(folder)), 6, PICTURE),
    "lists to learn from": EntryPoint(seed_collections.lists, _listed, 4, PICTURE),
    "soft masks": EntryPoint(seed_collections.soft_masks, _soft_mask, 4, PICTURE),
    "masks": EntryPoint(seed_inputs.any_images, _masks, 8, PICTURE),
    "folders to measure": EntryPoint(seed_inputs.pairs, _evaluation_folders, 6, PICTURE),
    "holes of a benchmark": EntryPoint(seed_inputs.manifests, _manifest, 8, SMALL),
    "segments of COCO": EntryPoint(seed_collections.segments, _segments, 4, PICTURE),
    "checkpoints": EntryPoint(seed_inputs.checkpoints, _checkpoint, 8, SMALL),
    "checkpoints of MAI": EntryPoint(seed_inputs.trained, model_loading.load_model, 1, 2 * SMALL),
    "packed models": EntryPoint(seed_inputs.packed, _packed, 5, SMALL),
    "failed steps": EntryPoint(seed_inputs.failed_steps, lambda folder: nonfinite.read(_only_file(folder)), 4, SMALL),
    "state dicts of PyTorch": EntryPoint(seed_inputs.state_dicts, lambda folder: torch_files.read(_only_file(folder)),
                                         10, SMALL),
    "the public PConv": EntryPoint(seed_inputs.public_pconv, _public_pconv, 1, 2 * SMALL),
    "weights of VGG and the like": EntryPoint(seed_inputs.weights, _weights, 5, SMALL),
    "configs": EntryPoint(seed_inputs.configs, _config, 6, SMALL),
    "flags": EntryPoint(seed_inputs.overrides, _overrides, 4, SMALL),
    "records of comparisons": EntryPoint(seed_inputs.comparisons, _records, 5, SMALL),
    "requests to the page": EntryPoint(seed_inputs.requests, _request, 6, SMALL),
    "visits of the page": EntryPoint(seed_inputs.visits, _session, 6, PICTURE),
}
