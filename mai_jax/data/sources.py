"""Where photographs come from: random access to encoded images, by name."""

import hashlib
import importlib.resources
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol, SupportsIndex, TypedDict, runtime_checkable

from mai_jax.config import Data
from mai_jax.data import folder, tfds_source
from mai_jax.types import InputError

Part = Literal["train", "test"]
log = logging.getLogger(__name__)

# The colour photographs inside scikit-image's wheel. No scene is in both parts: motorcycle_left and _right are one.
SAMPLE_PHOTOS = {
    "train": ("astronaut.png", "hubble_deep_field.jpg", "ihc.png", "motorcycle_left.png", "motorcycle_right.png",
              "retina.jpg"),
    "test": ("chelsea.png", "coffee.png", "rocket.jpg"),
}
# The seven scenes of the paper's Places2 test set.
SCENES = ("butte", "canyon", "field/cultivated", "field/wild", "synagogue/outdoor", "tundra", "valley")
TFDS_SETS = {"places2": "places365_small", "celeb_a": "celeb_a"}  # names of sources that TensorFlow Datasets has
HELD_OUT = 1 / 20  # share of a training folder that is held out when no test source is named


class Encoded(TypedDict):
    """One image: a name that is unique within its source, and the bytes of its file."""

    id: str
    bytes: bytes


@runtime_checkable
class Source(Protocol):
    """Random access to encoded images. `repr` says what is in it and stays the same from run to run."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: SupportsIndex) -> Encoded: ...

    def __repr__(self) -> str: ...


class Files:
    """Image files below one folder; the id is the path relative to it."""

    def __init__(self, root: Path, names: Sequence[str]):
        self._root, self._names = root, list(names)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, i: SupportsIndex) -> Encoded:
        name = self._names[i]
        try:
            return {"id": name, "bytes": folder.read_file(self._root / name)}
        except OSError as reason:
            why = reason.strerror
            raise InputError(f"{self._root / name}: cannot be read ({why}); restore it or remove it") from reason

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
    """The photographs that `data` names for training or for testing.

    A folder that is named for training and has no test source beside it holds out about one image in twenty, chosen by
    a hash of the relative path, so that an image stays in its part when others come or go. (A folder whose name is also
    in `NAMED` is meant by "./name".) Raises InputError for a name that is neither in `NAMED` nor a folder of images.
    """
    own_test = bool(data.test)
    field = "test" if part == "test" and own_test else "train"
    name, setting = getattr(data, field), f"config.data.{field}"
    if name in NAMED:
        return NAMED[name](part)
    if not name or not Path(name).expanduser().exists():
        raise InputError(f"{setting}={name!r}: is neither a folder nor one of {', '.join(NAMED)}")
    root, names = Path(name).expanduser(), folder.find_images(name, setting)
    if own_test:
        if part == "train":
            _warn_of_overlap(root, data.test)
        return Files(root, names)
    if len(names) == 1:
        raise InputError(f"{setting}={name!r}: holds a single image and one must be held out; "
                         "add images, or name config.data.test")
    held_out = _held_out(names)
    return Files(root, [name for name in names if (name in held_out) == (part == "test")])


def _held_out(names: Sequence[str]) -> set[str]:
    """The names with the smallest hashes, a share of about HELD_OUT, but at least one name in and one out."""
    shares = {name: int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8]) / 2**64 for name in names}
    count = sum(share < HELD_OUT for share in shares.values())
    return set(sorted(names, key=shares.__getitem__)[:min(max(count, 1), len(names) - 1)])


def _warn_of_overlap(train: Path, test: str) -> None:
    if test not in NAMED and Path(test).expanduser().resolve().is_relative_to(train.resolve()):
        log.warning("config.data.test=%r lies in config.data.train=%r: training sees the images it is tested on", test,
                    str(train))
