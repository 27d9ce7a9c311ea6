"""Sources of photographs: random access to the encoded images of a folder or of a named data set."""

import hashlib
import importlib.resources
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol, SupportsIndex, runtime_checkable

from mai_jax.config import Data
from mai_jax.data import tfds_source
from mai_jax.data.images import Encoded
from mai_jax.errors import InputError
from mai_jax.files import find_images, read_file

Part = Literal["train", "test"]
log = logging.getLogger(__name__)

# Colour photographs in scikit-image's wheel. No scene is in both parts: motorcycle_left and _right show the same scene.
SAMPLE_PHOTOS = {
    "train": ("astronaut.png", "hubble_deep_field.jpg", "ihc.png", "motorcycle_left.png", "motorcycle_right.png",
              "retina.jpg"),
    "test": ("chelsea.png", "coffee.png", "rocket.jpg"),
}
# The seven scenes of the paper's Places2 test set.
SCENES = ("butte", "canyon", "field/cultivated", "field/wild", "synagogue/outdoor", "tundra", "valley")
TFDS_SETS = {"places2": "places365_small", "celeb_a": "celeb_a"}  # source name -> name in TensorFlow Datasets
HELD_OUT = 1 / 20  # share of a training folder that is held out if no test source is given


@runtime_checkable
class Source(Protocol):
    """Random access to encoded images. `repr` describes the content and is the same in every run."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: SupportsIndex) -> Encoded: ...

    def __repr__(self) -> str: ...


class Files:
    """The image files of a folder; the id is the path relative to it. Indexing raises InputError."""

    def __init__(self, root: Path, names: Sequence[str]):
        self._root, self._names = root, list(names)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, i: SupportsIndex) -> Encoded:
        name = self._names[i]
        try:
            return {"id": name, "bytes": read_file(self._root / name)}
        except OSError as error:
            path, reason = self._root / name, error.strerror
            raise InputError(f"{path}: cannot be read ({reason}); restore it or remove it") from error

    def __repr__(self) -> str:
        digest = hashlib.sha256(os.fsencode("\0".join(self._names))).hexdigest()
        return f"Files({len(self)} images, names={digest[:16]})"


def _sample_photos(part: Part) -> Source:
    return Files(Path(str(importlib.resources.files("skimage"))) / "data", SAMPLE_PHOTOS[part])


def _places2(part: Part) -> Source:
    split = {"train": "train", "test": "validation"}[part]
    return tfds_source.TfdsImages(tfds_source.prepared(TFDS_SETS["places2"]), split, SCENES)


def _celeb_a(part: Part) -> Source:
    split = {"train": "train+validation", "test": "test"}[part]
    return tfds_source.TfdsImages(tfds_source.prepared(TFDS_SETS["celeb_a"]), split)


NAMED: dict[str, Callable[[Part], Source]] = {
    "sample_photos": _sample_photos,
    "places2": _places2,
    "celeb_a": _celeb_a,
}


def open_source(data: Data, part: Part) -> Source:
    """Return the source that `data` gives for training or for testing.

    If `data.test` is empty, about one image in twenty of the folder `data.train` is held out for testing, chosen by a
    hash of the relative path, so that an image stays in its part when others are added or removed. (Write "./name" for
    a folder whose name is in `NAMED`.) Raises InputError for a name that is neither in `NAMED` nor a folder of images.
    """
    has_test = bool(data.test)
    field = "test" if part == "test" and has_test else "train"
    name, setting = getattr(data, field), f"config.data.{field}"
    if name in NAMED:
        return NAMED[name](part)
    if not name or not Path(name).expanduser().exists():
        raise InputError(f"{setting}={name!r}: is neither a folder nor one of {', '.join(NAMED)}")
    root, names = Path(name).expanduser(), find_images(name, setting)
    if has_test:
        if part == "train":
            _warn_of_overlap(root, data.test)
        return Files(root, names)
    if len(names) == 1:
        raise InputError(f"{setting}={name!r}: contains a single image and one must be held out; "
                         "add images, or give config.data.test")
    held_out = _held_out(names)
    return Files(root, [name for name in names if (name in held_out) == (part == "test")])


def _held_out(names: Sequence[str]) -> set[str]:
    """Return the names with a hash in the lowest HELD_OUT of its range; at least one name, at most all but one."""
    hashes = {name: int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8]) / 2**64 for name in names}
    count = sum(value < HELD_OUT for value in hashes.values())
    return set(sorted(names, key=hashes.__getitem__)[:min(max(count, 1), len(names) - 1)])


def _warn_of_overlap(train: Path, test: str) -> None:
    if test not in NAMED and Path(test).expanduser().resolve().is_relative_to(train.resolve()):
        log.warning("config.data.test=%r is inside config.data.train=%r: the test images are also used for training",
                    test, str(train))
