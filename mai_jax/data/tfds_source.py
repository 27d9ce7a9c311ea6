"""A source of encoded images from TensorFlow Datasets, read without TensorFlow."""

import hashlib
import io
import os
import shutil
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


class TfdsImages:
    """The images of a split of a prepared data set: all, or those with one of `labels`.

    The id is the file name in the data set if it has one, else "split/index". Raises InputError if the data set was
    prepared in a format without random access.
    """

    def __init__(self, builder: tfds.core.DatasetBuilder, split: str, labels: Sequence[str] = ()):
        self._split = split
        self._title = f"{builder.info.full_name}, {split}, labels={','.join(labels) or 'all'}"
        self._examples = _open(builder, split)
        all_indices = np.arange(len(self._examples))
        self._indices = _with_labels(builder, self._examples, split, labels) if labels else all_indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, i: SupportsIndex) -> Encoded:
        index = int(self._indices[i])
        example = self._examples[index]
        name = example["filename"].decode() if "filename" in example else f"{self._split}/{index}"
        return {"id": name, "bytes": example["image"]}

    def __repr__(self) -> str:
        return f"TfdsImages({self._title}, {len(self)} images)"


def prepared(name: str) -> tfds.core.DatasetBuilder:
    """Return the data set `name` in TFDS_DATA_DIR (~/tensorflow_datasets); download and prepare it if needed."""
    builder = tfds.builder(name)
    prepare(builder)
    return builder


def is_prepared(name: str) -> bool:
    """Return whether the data set `name` is in TFDS_DATA_DIR."""
    return tfds.builder(name).is_prepared()


def prepare(builder: tfds.core.DatasetBuilder) -> None:
    """Download and prepare a data set unless that is done; print the size first. Raises InputError on any failure."""
    if builder.is_prepared():
        return
    try:
        size = sum(info.size for info in (builder.url_infos or {}).values())
        print(f"{builder.name}: downloading {size / GIB:.1f} GiB and preparing it in {builder.data_dir}", flush=True)
        _require_space(builder, 2 * size)  # the download, and about as much for the prepared files
        # Only the original files, whose SHA-256 tfds checks: it would not check a prepared copy.
        checked = tfds.download.DownloadConfig(force_checksums_validation=True, try_download_gcs=False)
        builder.download_and_prepare(download_config=checked, file_format="array_record")
    except InputError:
        raise
    except ModuleNotFoundError as error:
        package = "tensorflow-cpu" if error.name == "tensorflow" else error.name
        raise InputError(f"{builder.name}: preparing it needs {error.name}, once; pip install {package}") from error
    except Exception as error:  # network, checksum, archive, disk: tfds raises exceptions of many kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{builder.name}: could not be downloaded and prepared in {builder.data_dir} ({reason}); "
                         "fix that and start again, or set TFDS_DATA_DIR to the folder of the data set") from error


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


def _open(builder, split):
    try:
        return builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
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
