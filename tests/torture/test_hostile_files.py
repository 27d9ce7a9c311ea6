"""What the fuzzer found once, and must not find again: each is one line, at no cost."""

import io
import os
import re
import struct
import time
import warnings

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from mai_jax import checkpoint, photos
from mai_jax.config import Config, Data, Holes
from mai_jax.data import hole_files, images, sources
from mai_jax.data.folder import MOST_BYTES, read_file
from mai_jax.evaluation import report
from mai_jax.evaluation.holes import manifest
from mai_jax.evaluation.pairs import FolderPairs, PhotographPairs
from mai_jax.inference import trained
from mai_jax.repair import filling
from mai_jax.types import InputError
from tests.torture import seeds, worker
from tests.torture.mutation import with_true_checksums

PHOTO = seeds.saved(Image.new("RGB", (20, 20), "red"), "PNG")


def refusal(use, *arguments) -> str:
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
    assert "not an image of a known format" in refusal(images.decode, seeds.EPS, "a.jpg")
    assert "not an image of a known format" in refusal(images.decode_grey, seeds.EPS, "a.jpg")
    assert started == []


def test_the_limit_of_pixels_is_one_for_photographs_and_their_masks_and_pillows_own_does_not_speak():
    assert images.MAX_PIXELS == photos.MAX_PIXELS > 2 * Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings(record=True) as spoken:
        warnings.simplefilter("always")
        assert "limit is 200000000" in refusal(images.decode_grey, b"P5 20000 10001 255\n", "a")
        assert "truncated" in refusal(images.decode_grey, b"P5 20000 10000 255\n", "a")
    assert spoken == []


@pytest.fixture(params=["pipe", "device", "folder"])
def no_file(request, tmp_path):
    """Something that bears the name of an image."""
    path = tmp_path / "odd.png"
    {"pipe": os.mkfifo, "device": lambda path: path.symlink_to("/dev/zero"), "folder": os.mkdir}[request.param](path)
    return path


def test_what_is_no_file_is_not_waited_for(no_file, tmp_path):
    with pytest.raises(OSError):
        read_file(no_file)
    refusal(filling._read, no_file)
    refusal(hole_files.read_mask, no_file)
    refusal(manifest.load, no_file)
    refusal(report.join, [tmp_path / "nothing"], "default")
    refusal(sources.Files(tmp_path, ["odd.png"]).__getitem__, 0)


def test_a_pipe_in_a_folder_of_images_or_in_a_checkpoint(tmp_path):
    for part in ("painted", "truth", "masks"):
        (tmp_path / part).mkdir()
        os.mkfifo(tmp_path / part / "a.png")
    refusal(FolderPairs(*(str(tmp_path / part) for part in ("painted", "truth", "masks"))).__getitem__, 0)
    refusal(hole_files.load, str(tmp_path / "masks"), 32, Holes())
    folder = tmp_path / "run"
    worker.write(seeds.checkpoints()[0], folder)
    meta = folder / "checkpoints" / "7" / "meta" / "metadata"
    meta.unlink()
    os.mkfifo(meta)
    assert "metadata is no file" in refusal(checkpoint.Reader, folder)


def test_a_file_larger_than_any_photograph_is_not_read(tmp_path):
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)  # takes no room on the disk
    assert "More than 2 GiB" in refusal(hole_files.read_mask, path)


def test_names_that_are_no_text_are_measured_and_shown(tmp_path):
    name = os.fsdecode(b"caf\xe9")  # of an archive of another time
    for part in ("painted", "truth"):
        (tmp_path / part).mkdir()
        (tmp_path / part / f"{name}.png").write_bytes(PHOTO)
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / f"{name}.png").write_bytes(seeds.mask())
    (pair,) = FolderPairs(*(str(tmp_path / part) for part in ("painted", "truth", "masks")))
    assert pair.id == name
    config = Config(image_size=32)
    source = sources.open_source(Data(train="sample_photos", test=str(tmp_path / "truth")), "test")
    assert PhotographPairs(source, config)[0].id == f"{name}.png"
    (tmp_path / "masks" / f"{name}.png").write_bytes(PHOTO[:50])
    assert r"caf\udce9.png: cannot be read" in refusal(hole_files.read_mask, tmp_path / "masks" / f"{name}.png")


def test_a_missing_palette_is_damage():
    without = with_true_checksums(PHOTO[:25] + b"\3" + PHOTO[26:])
    assert "palette is missing" in refusal(images.decode, without, "a.png")


def test_a_palette_without_colours_is_damage():
    from tests.photos.photo_files import chunk, png

    without = png(np.zeros((4, 4, 1), np.uint8), "P", 8, chunk(b"PLTE", b""))
    assert "palette is empty" in refusal(photos.decode, without, "a.png")


def test_damaged_exif_is_refused_in_one_line():
    encoded = seeds.described_files.file_with_everything("WEBP")
    place = encoded.find(b"EXIF") + 8
    place += 6 * (encoded[place : place + 4] == b"Exif")
    order = "<" if encoded[place : place + 2] == b"II" else ">"
    broken = encoded[: place + 4] + struct.pack(order + "I", 2**31) + encoded[place + 8 :]
    photo = photos.decode(broken, "a.webp")
    nothing = np.zeros(photo.rgb.shape[:2], bool)
    assert refusal(photos.encode, photo, photo.rgb, nothing).startswith("a.webp: its metadata are damaged")
    Image.open(io.BytesIO(photos.encode(photos.decode(encoded, "a.webp"), photo.rgb, nothing))).load()


@pytest.fixture
def run(tmp_path):
    """Writes a checkpoint of the small MAI whose meta was changed, by someone who leaves their checksum out."""
    def write(old: bytes, new: bytes):
        tree = dict(seeds.trained()[0])
        name = next(name for name in tree if name.endswith("meta/metadata"))
        assert old in tree[name]
        tree[name] = re.sub(rb', "checksum": \d+', b"", tree[name].replace(old, new, 1))
        worker.write(tree, tmp_path)
        return tmp_path

    return write


@pytest.mark.parametrize(("old", "new", "said"), [
    (b'"method": "mai"', b'"method": "evil"', "'evil' is unknown"),
    (b'"image_size": 32', b'"image_size": 65536', "must be at most 4096"),
    (b'"image_size": 32', b'"image_size": "32"', "must be a whole number"),
    (b'"width": 8', b'"width": 100000', "must be at most 4096"),
    (b'"params": {', b'"others": {', "missing there"),
    (b'"crc32": ', b'"crc": ', "did not write it"),
])
def test_meta_of_checkpoints_is_not_believed(run, old, new, said):
    folder = run(old, new)
    message = refusal(trained.read, folder)
    assert message.startswith(str(folder / "checkpoints" / "7")) and said in message
