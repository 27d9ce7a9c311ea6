"""Sources of photographs: random access to the encoded images of an address or of a named data set.

An address is a folder, a list of paths, a .zip or .tar archive, or a data set of TensorFlow Datasets.
"""

import hashlib
import importlib.resources
import logging
import operator
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol, SupportsIndex, runtime_checkable

from mai_jax.config import Data
from mai_jax.data import tfds_source
from mai_jax.data.containers import Container, Folder, open_container
from mai_jax.data.images import Encoded
from mai_jax.errors import InputError

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
    """Image files of a container, all or those of `indices`; the id is the name. Indexing raises InputError."""

    def __init__(self, container: Container, indices: Sequence[int] | None = None) -> None:
        self._container = container
        self._indices = range(len(container.names)) if indices is None else indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, i: SupportsIndex) -> Encoded:
        index = self._indices[operator.index(i)]
        return {"id": self._container.names[index], "bytes": self._container.read(index)}

    def __repr__(self) -> str:
        names = "\0".join(self._container.names[index] for index in self._indices)
        return f"Files({len(self)} images, names={hashlib.sha256(os.fsencode(names)).hexdigest()[:16]})"


def _sample_photos(part: Part) -> Source:
    return Files(Folder(Path(str(importlib.resources.files("skimage"))) / "data", SAMPLE_PHOTOS[part]))


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


def is_public(name: str) -> bool:
    """Return whether `name` means the same photographs on every machine."""
    return name in NAMED or name.startswith(tfds_source.PREFIX)


def open_source(data: Data, part: Part) -> Source:
    """Return the source that `data` gives for training or for testing.

    If `data.test` is empty, about one image in twenty of the files of `data.train` is held out for testing, chosen by a
    hash of the name, so that an image stays in its part when others are added or removed. (Write "./name" for a folder
    whose name is in `NAMED`.) Raises InputError for a name that is neither in `NAMED` nor an address of images.
    """
    has_test = bool(data.test)
    field = "test" if part == "test" and has_test else "train"
    name, setting = getattr(data, field), f"config.data.{field}"
    if name in NAMED:
        return NAMED[name](part)
    if name.startswith(tfds_source.PREFIX):
        return tfds_source.open_address(name, setting, part, has_test=has_test)
    if not name or not Path(name).expanduser().exists():
        raise InputError(f"{setting}={name!r}: is neither a folder, a list or an archive of images, nor one of "
                         f"{', '.join(NAMED)}, nor {tfds_source.PREFIX}NAME")
    container = open_container(name, setting)
    if has_test:
        if part == "train":
            _warn_of_overlap(Path(name), data.test)
        return Files(container)
    if len(container.names) == 1:
        raise InputError(f"{setting}={name!r}: contains a single image and one must be held out; "
                         "add images, or give config.data.test")
    held_out = _held_out(container.names)
    return Files(container, [i for i, name in enumerate(container.names) if (name in held_out) == (part == "test")])


def _held_out(names: Sequence[str]) -> set[str]:
    """Return the names with a hash in the lowest HELD_OUT of its range; at least one name, at most all but one."""
    hashes = {name: int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8]) / 2**64 for name in names}
    count = sum(value < HELD_OUT for value in hashes.values())
    return set(sorted(names, key=hashes.__getitem__)[:min(max(count, 1), len(names) - 1)])


def _warn_of_overlap(train: Path, test: str) -> None:
    inner, outer = Path(test).expanduser().resolve(), train.expanduser().resolve()
    if not is_public(test) and (inner == outer or (inner.is_dir() and inner.is_relative_to(outer))):
        log.warning("config.data.test=%r is inside config.data.train=%r: the test images are also used for training",
                    test, str(train))
