"""A source of encoded images from TensorFlow Datasets, read without TensorFlow.

Its preparation, once, needs TensorFlow if tfds opens an archive for it or its own code calls TensorFlow.
"""

import ast
import hashlib
import importlib.util
import inspect
import io
import json
import os
import re
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import SupportsIndex

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int64
from tqdm import tqdm

from mai_jax.data.images import Encoded
from mai_jax.errors import InputError

GIB = 2**30
CHUNK = 1024  # examples per read of a label scan
PREFIX = "tfds:"
# The split comes after the last colon; what comes before may end in a version, as in "coco/2017:1.1.0".
ADDRESS = re.compile(PREFIX + r"(?P<name>\w+(/[\w.-]+)?(:\d+\.\d+\.\d+)?)(:(?P<split>[a-z].*))?")
PACKAGES = {"tensorflow": "tensorflow-cpu", "bs4": "beautifulsoup4"}  # module: package on PyPI, where names differ


class TfdsImages:
    """The images of a split of a prepared data set: all, or those with one of `labels`.

    The id is the file name in the data set if it has one, else "split/index". Raises InputError if the data set has no
    such split, not one image per example, or was prepared in a format without random access.
    """

    def __init__(self, builder: tfds.core.DatasetBuilder, split: str, labels: Sequence[str] = ()):
        self._split = split
        self._title = f"{builder.info.full_name}, {split}, labels={','.join(labels) or 'all'}"
        self._image = _image_feature(builder)
        self._examples = _open(builder, split, self._image)
        all_indices = np.arange(len(self._examples))
        self._indices = _with_labels(builder, self._examples, split, labels) if labels else all_indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, i: SupportsIndex) -> Encoded:
        index = int(self._indices[i])
        example = self._examples[index]
        name = example["filename"].decode() if "filename" in example else f"{self._split}/{index}"
        return {"id": name, "bytes": example[self._image]}

    def __repr__(self) -> str:
        return f"TfdsImages({self._title}, {len(self)} images)"


def open_address(address: str, setting: str, part: str, *, has_test: bool) -> TfdsImages:
    """Return the images of "tfds:NAME[/CONFIG][:SPLIT]" for the part "train" or "test"; prepare the set if needed.

    Without SPLIT the set's own are used: "train", and "test" or else "validation". Raises InputError, which names
    `setting`, for an address that is not of this form, and if nothing is left for the test.
    """
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise InputError(f"{setting}={address!r}: write {PREFIX}NAME, {PREFIX}NAME/CONFIG or {PREFIX}NAME:SPLIT")
    name, split = match["name"], match["split"]
    if split and not has_test:
        raise InputError(f"{setting}={address!r}: holds out nothing for the test; give config.data.test, such as "
                         f"{PREFIX}{name}:test, or {PREFIX}{name}:{split}[95%:] with [:95%] here")
    builder = prepared(name)
    if not split:
        wanted = {"train": ("train",), "test": ("test", "validation")}[part]
        split = next((split for split in wanted if split in builder.info.splits), None)
        if split is None:
            raise InputError(f"{setting}={address!r}: has no split {' or '.join(wanted)}, it has "
                             f"{', '.join(builder.info.splits)}; give {PREFIX}{name}:SPLIT as config.data.{part}")
    return TfdsImages(builder, split)


def prepared(name: str) -> tfds.core.DatasetBuilder:
    """Return the data set `name` in TFDS_DATA_DIR (~/tensorflow_datasets); download and prepare it if needed."""
    builder = _builder(name)
    prepare(builder)
    return builder


def is_prepared(name: str) -> bool:
    """Return whether the data set `name`, or that of an address, is in TFDS_DATA_DIR."""
    match = ADDRESS.fullmatch(name)
    return _builder(match["name"] if match else name).is_prepared()


def _builder(name: str) -> tfds.core.DatasetBuilder:
    try:
        return tfds.builder(name)
    except tfds.core.DatasetNotFoundError as error:
        raise InputError(f"{PREFIX}{name}: is neither a data set of TensorFlow Datasets nor in TFDS_DATA_DIR"
                         ) from error
    except Exception as error:  # a config or version that does not exist, or a module that the set's code imports
        if isinstance(error, ModuleNotFoundError) and (module := _module_of(error)):
            raise InputError(f"{PREFIX}{name}: its code needs {module}; pip install {PACKAGES.get(module, module)}"
                             ) from error
        raise InputError(f"{PREFIX}{name}: cannot be opened ({' '.join(str(error).split())})") from error


def prepare(builder: tfds.core.DatasetBuilder) -> None:
    """Download and prepare a data set unless that is done; print the size first. Raises InputError on any failure."""
    if builder.is_prepared():
        return
    if needs_tensorflow(type(builder)) and importlib.util.find_spec("tensorflow") is None:
        raise InputError(_missing(builder, "tensorflow"))
    try:
        infos = builder.url_infos or {}
        size = sum(info.size for info in infos.values())
        left = size - sum(infos[url].size for url in _downloaded(builder) & set(infos))
        print(f"{builder.name}: downloading {left / GIB:.1f} GiB and preparing it in {builder.data_dir}", flush=True)
        _require_space(builder, left + size)  # the download, and about as much as all of it for the prepared files
        builder.info.download_size = left  # tfds compares it with the free space, too
        # Only the original files, whose SHA-256 tfds checks: it would not check a prepared copy.
        checked = tfds.download.DownloadConfig(force_checksums_validation=True, try_download_gcs=False)
        builder.download_and_prepare(download_config=checked, file_format="array_record")
    except InputError:
        raise
    except Exception as error:  # network, checksum, archive, disk: tfds raises exceptions of many kinds
        if isinstance(error, ModuleNotFoundError) and (module := _module_of(error)):
            raise InputError(_missing(builder, module)) from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{builder.name}: could not be downloaded and prepared in {builder.data_dir} ({reason}); "
                         "fix that and start again, or set TFDS_DATA_DIR to the folder of the data set") from error


def needs_tensorflow(builder: type[tfds.core.DatasetBuilder]) -> bool:
    """Return whether the class's code calls what certainly needs TensorFlow in a preparation.

    That is `tf.io`, and `iter_archive` of tfds's download manager, which opens archives with `tf.io`; both sets of
    `sources.TFDS_SETS` call it. A class that calls neither may still need TensorFlow, in a function elsewhere. It is
    not refused here: `prepare` reports the missing module when the preparation comes to it.
    """
    try:
        code = ast.parse(textwrap.dedent(inspect.getsource(builder)))
    except (OSError, TypeError, SyntaxError):  # the source is not at hand
        return False
    return any(isinstance(node, ast.Attribute)
               and (node.attr == "iter_archive" or ast.unparse(node) == "tf.io") for node in ast.walk(code))


def _module_of(error: ModuleNotFoundError) -> str | None:
    """Return the module that was not found, also from an error that tfds has raised anew, which lacks the attribute."""
    named = re.search(r"No module named '([\w.]+)'", str(error))
    return error.name or (named[1] if named else None)


def _missing(builder, module):
    return f"{builder.name}: preparing it needs {module}, once; pip install {PACKAGES.get(module, module)}"


def _downloaded(builder) -> set[str]:
    """Return the URLs whose files an earlier try has downloaded: tfds writes a file .INFO beside each complete one."""
    folder = builder.data_dir_root / "downloads"
    urls: set[str] = set()
    for note in [*folder.glob("*.INFO"), *folder.glob(f"{builder.name}/*.INFO")]:
        if note.with_suffix("").exists():
            urls.update(json.loads(note.read_text()).get("urls") or ())
    return urls


def _with_labels(builder, examples, split, labels) -> Int64[np.ndarray, "n"]:
    """Return the indices of the examples that have one of `labels`, ascending. They are cached beside the data set."""
    key = hashlib.sha256("\0".join([split, str(len(examples)), *labels]).encode()).hexdigest()
    cache = builder.data_path / f"indices-{key[:16]}.npy"
    if cache.exists():
        return np.load(io.BytesIO(cache.read_bytes()))
    found = []
    with tqdm(desc=f"{builder.name}: reading labels", total=len(examples), unit=" images") as progress:
        for start in range(0, len(examples), CHUNK):
            chunk = examples.__getitems__(list(range(start, min(start + CHUNK, len(examples)))))
            found += [example["label"] for example in chunk]
            progress.update(len(chunk))
    to_number = builder.info.features["label"].str2int
    indices = np.flatnonzero(np.isin(found, [to_number(label) for label in labels]))
    print(f"{builder.name}: {len(indices)} of {len(examples)} images of {split} have a label of {', '.join(labels)}",
          flush=True)
    _write_array(cache, indices)
    return indices


def _write_array(path, array):
    """Write atomically; the temporary name is unique because several processes may write the same file."""
    content = io.BytesIO()
    np.save(content, array)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_bytes(content.getvalue())
    unfinished.replace(path)


def _image_feature(builder) -> str:
    """Return the name of the feature of the images: "image", or the only one."""
    names = [name for name, feature in builder.info.features.items() if isinstance(feature, tfds.features.Image)]
    if "image" not in names and len(names) != 1:
        raise InputError(f"{builder.name}: has {len(names) or 'no'} features that are images"
                         f"{': ' if names else ''}{', '.join(names)}; one is needed, or one called image")
    return "image" if "image" in names else names[0]


def _open(builder, split, image):
    try:
        return builder.as_data_source(split, decoders={image: tfds.decode.SkipDecoding()})
    except ValueError as error:  # of tfds's syntax of splits
        raise InputError(f"{builder.name}: has no split {split!r} ({' '.join(str(error).split())})") from error
    except NotImplementedError as error:
        raise InputError(f"{builder.data_dir}: is prepared as {builder.info.file_format.value}, which has no random "
                         "access; move it away, or set TFDS_DATA_DIR to another folder") from error


def _require_space(builder, needed):
    folder = Path(builder.data_dir).expanduser()
    if str(folder).startswith("gs:"):
        return
    folder = next(parent for parent in [folder, *folder.parents] if parent.exists())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(f"{builder.name}: needs about {needed / GIB:.1f} GiB and {folder} has {free / GIB:.1f} GiB; "
                         "free some space, or set TFDS_DATA_DIR to a larger disk")
