"""Regression tests for findings of the fuzzer: each file is refused quickly and in one line."""

import io
import os
import re
import struct
import time
import warnings

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from mai_jax import image_io
from mai_jax.config import Config, Data, Holes
from mai_jax.data import images, mask_files, mask_reader, sources
from mai_jax.data.containers import Folder
from mai_jax.errors import InputError
from mai_jax.evaluation.dataset import FolderEvalDataset, ImageEvalDataset
from mai_jax.evaluation.mask_benchmark import manifest
from mai_jax.evaluation.report import result_files
from mai_jax.files import MAX_BYTES, read_file
from mai_jax.inference import model_loading, photo_files, photo_holes
from mai_jax.training import checkpointing
from tests.image_io import frame_files
from tests.torture import seed_inputs, worker
from tests.torture.mutation import fix_png_checksums

PHOTO = seed_inputs.saved(Image.new("RGB", (20, 20), "red"), "PNG")


def refused(use, *arguments) -> str:
    start = time.monotonic()
    with pytest.raises(InputError) as error:
        use(*arguments)
    message = str(error.value)
    assert message.isprintable() and message
    assert time.monotonic() - start < 10
    return message


def test_postscript_in_an_image_is_not_executed(monkeypatch):
    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *arguments, **more: started.append(arguments))
    assert "not an image of a known format" in refused(images.decode, seed_inputs.EPS, "a.jpg")
    assert "not an image of a known format" in refused(images.decode_as_stored, seed_inputs.EPS, "a.jpg")
    assert started == []


def test_photographs_and_masks_have_the_same_pixel_limit_and_pillow_does_not_warn():
    assert images.MAX_PIXELS == image_io.MAX_PIXELS > 2 * Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert "limit is 200000000" in refused(images.decode_as_stored, b"P5 20000 10001 255\n", "a")
        assert "truncated" in refused(images.decode_as_stored, b"P5 20000 10000 255\n", "a")
    assert caught == []


@pytest.fixture(params=["pipe", "device", "folder"])
def special_file(request, tmp_path):
    """A pipe, device or folder with the name of an image."""
    path = tmp_path / "odd.png"
    {"pipe": os.mkfifo, "device": lambda path: path.symlink_to("/dev/zero"), "folder": os.mkdir}[request.param](path)
    return path


def test_special_files_are_refused_without_blocking(special_file, tmp_path):
    with pytest.raises(OSError):
        read_file(special_file)
    refused(photo_files.read, special_file)
    refused(mask_reader.read_file, special_file, "hole")
    refused(photo_holes.read_mask, special_file)
    for name in ("odd.zip", "odd.tar", "odd.txt"):
        refused(sources.open_source, Data(train=str(special_file.rename(tmp_path / name)), test="x"), "train")
        special_file = tmp_path / name
    special_file = special_file.rename(tmp_path / "odd.png")
    refused(manifest.load, special_file)
    refused(result_files.join, [tmp_path / "nothing"], "default")
    refused(sources.Files(Folder(tmp_path, ["odd.png"])).__getitem__, 0)


def test_a_pipe_in_a_folder_of_images_or_in_a_checkpoint(tmp_path):
    for part in ("predictions", "truth", "masks"):
        (tmp_path / part).mkdir()
        os.mkfifo(tmp_path / part / "a.png")
    refused(FolderEvalDataset(*(str(tmp_path / part) for part in ("predictions", "truth", "masks"))).__getitem__, 0)
    refused(mask_files.load, str(tmp_path / "masks"), 32, Holes())
    folder = tmp_path / "run"
    worker.write(seed_inputs.checkpoints()[0], folder)
    meta = folder / "checkpoints" / "7" / "meta" / "metadata"
    meta.unlink()
    os.mkfifo(meta)
    assert "metadata is not a file" in refused(checkpointing.CheckpointReader, folder)


def test_a_file_larger_than_any_photograph_is_not_read(tmp_path):
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # takes no room on the disk
    assert "More than 2 GiB" in refused(mask_reader.read_file, path, "hole")


def test_names_that_are_not_utf8_are_evaluated_and_printed(tmp_path):
    name = os.fsdecode(b"caf\xe9")  # Latin-1, as from an old archive
    for part in ("predictions", "truth"):
        (tmp_path / part).mkdir()
        (tmp_path / part / f"{name}.png").write_bytes(PHOTO)
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / f"{name}.png").write_bytes(seed_inputs.mask())
    (pair,) = FolderEvalDataset(*(str(tmp_path / part) for part in ("predictions", "truth", "masks")))
    assert pair.id == name
    config = Config(image_size=32)
    source = sources.open_source(Data(train="sample_photos", test=str(tmp_path / "truth")), "test")
    assert ImageEvalDataset(source, config)[0].id == f"{name}.png"
    (tmp_path / "masks" / f"{name}.png").write_bytes(PHOTO[:50])
    damaged = tmp_path / "masks" / f"{name}.png"
    assert r"caf\udce9.png: cannot be read" in refused(mask_reader.read_file, damaged, "hole")


def test_pages_that_follow_each_other_in_a_circle_end():
    film = frame_files.tiff(np.random.default_rng(0), "RGB")
    first = film[4:8]
    (place,) = struct.unpack("<I", first)
    (count,) = struct.unpack_from("<H", film, place)
    end = place + 2 + 12 * count
    assert image_io.split(film, "a.tif").number == len(frame_files.DELAYS)
    assert image_io.split(film[:end] + first + film[end + 4 :], "a.tif").number == 1


def test_a_huge_canvas_of_an_animation_is_refused_before_it_is_painted():
    film = bytearray(frame_files.gif(np.random.default_rng(0), shared=True))
    film[6:10] = b"\xff" * 4
    assert "65535 x 65535 pixels" in refused(image_io.split, bytes(film), "a.gif")


def test_a_missing_palette_is_damage():
    without = fix_png_checksums(PHOTO[:25] + b"\3" + PHOTO[26:])
    assert "palette is missing" in refused(images.decode, without, "a.png")


def test_a_palette_without_colours_is_damage():
    from tests.image_io.photo_files import chunk, png

    without = png(np.zeros((4, 4, 1), np.uint8), "P", 8, chunk(b"PLTE", b""))
    assert "palette is empty" in refused(image_io.decode, without, "a.png")


def test_damaged_exif_is_refused_in_one_line():
    encoded = seed_inputs.described_files.file_with_all_metadata("WEBP")
    start = encoded.find(b"EXIF") + 8
    start += 6 * (encoded[start : start + 4] == b"Exif")
    order = "<" if encoded[start : start + 2] == b"II" else ">"
    broken = encoded[: start + 4] + struct.pack(order + "I", 2**31) + encoded[start + 8 :]
    photo = image_io.decode(broken, "a.webp")
    nothing = np.zeros(photo.rgb.shape[:2], bool)
    assert refused(image_io.encode, photo, photo.rgb, nothing).startswith("a.webp: its metadata are damaged")
    Image.open(io.BytesIO(image_io.encode(image_io.decode(encoded, "a.webp"), photo.rgb, nothing))).load()


@pytest.fixture
def run(tmp_path):
    """Return a function that writes a checkpoint of a small MAI with changed meta and without its checksum."""
    def write(old: bytes, new: bytes):
        tree = dict(seed_inputs.trained()[0])
        name = next(name for name in tree if name.endswith("meta/metadata"))
        assert old in tree[name]
        tree[name] = re.sub(rb', "checksum": \d+', b"", tree[name].replace(old, new, 1))
        worker.write(tree, tmp_path)
        return tmp_path

    return write


@pytest.mark.parametrize(("old", "new", "expected"), [
    (b'"method": "mai"', b'"method": "evil"', "config.method='evil': no such method"),
    (b'"image_size": 32', b'"image_size": 65536', "must be at most 4096"),
    (b'"image_size": 32', b'"image_size": "32"', "must be a whole number"),
    (b'"width": 8', b'"width": 100000', "must be at most 4096"),
    (b'"params": {', b'"others": {', "missing there"),
    (b'"crc32": ', b'"crc": ', "did not write it"),
])
def test_meta_of_checkpoints_is_validated(run, old, new, expected):
    folder = run(old, new)
    message = refused(model_loading.load_model, folder)
    assert message.startswith(str(folder / "checkpoints" / "7")) and expected in message
