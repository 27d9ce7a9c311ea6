"""Encoded images of a TensorFlow Datasets set, read without TensorFlow."""

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

from mai_jax.types import InputError

GIB = 2**30
CHUNK = 1024  # examples that a scan reads at a time


class TfdsImages:
    """The images of one split of a prepared set, all or those with one of `labels`.

    The id is the set's own file name where it has one, else split and index. Raises InputError if the set was prepared
    in a format without random access.
    """

    def __init__(self, builder: tfds.core.DatasetBuilder, split: str, labels: Sequence[str] = ()):
        self._split = split
        self._title = f"{builder.info.full_name}, {split}, labels={','.join(labels) or 'all'}"
        self._examples = _open(builder, split)
        every = np.arange(len(self._examples))
        self._indices = _with_labels(builder, self._examples, split, labels) if labels else every

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, i: SupportsIndex) -> dict[str, str | bytes]:
        index = int(self._indices[i])
        example = self._examples[index]
        name = example["filename"].decode() if "filename" in example else f"{self._split}/{index}"
        return {"id": name, "bytes": example["image"]}

    def __repr__(self) -> str:
        return f"TfdsImages({self._title}, {len(self)} images)"


def prepared(name: str) -> tfds.core.DatasetBuilder:
    """The set `name` in TFDS_DATA_DIR (~/tensorflow_datasets), downloaded and prepared if it is not there yet."""
    builder = tfds.builder(name)
    prepare(builder)
    return builder


def is_prepared(name: str) -> bool:
    """Whether the set `name` is in TFDS_DATA_DIR."""
    return tfds.builder(name).is_prepared()


def prepare(builder: tfds.core.DatasetBuilder) -> None:
    """Downloads and prepares a set unless that is done; says the size first. Raises InputError if it does not work."""
    if builder.is_prepared():
        return
    try:
        size = sum(info.size for info in (builder.url_infos or {}).values())
        print(f"{builder.name}: downloading {size / GIB:.1f} GiB and preparing it in {builder.data_dir}", flush=True)
        _require_space(builder, 2 * size)  # what is downloaded, and about as much prepared
        # Only from the authors, and only files whose SHA-256 tfds knows: of prepared copies it checks none.
        checked = tfds.download.DownloadConfig(force_checksums_validation=True, try_download_gcs=False)
        builder.download_and_prepare(download_config=checked, file_format="array_record")
    except InputError:
        raise
    except ModuleNotFoundError as missing:
        package = {"tensorflow": "tensorflow-cpu"}.get(missing.name, missing.name)
        raise InputError(f"{builder.name}: preparing it needs {missing.name}, once; pip install {package}") from missing
    except Exception as reason:  # network, checksum, archive, disk: tfds raises plain Exceptions of many kinds
        why = " ".join(str(reason).split()) or type(reason).__name__
        raise InputError(f"{builder.name}: could not be downloaded and prepared in {builder.data_dir} ({why}); "
                         "mend that and start again, or set TFDS_DATA_DIR to where the set is") from reason


def _with_labels(builder, examples, split, labels) -> Int64[np.ndarray, "n"]:
    """Indices of the examples that have one of `labels`, rising; scanned once, then kept beside the set."""
    key = hashlib.sha256("\0".join([split, str(len(examples)), *labels]).encode()).hexdigest()
    kept = builder.data_path / f"indices-{key[:16]}.npy"
    if kept.exists():
        return np.load(io.BytesIO(kept.read_bytes()))
    found = []
    with tqdm(desc=f"{builder.name}: reading labels", total=len(examples), unit=" images") as progress:
        for start in range(0, len(examples), CHUNK):
            chunk = examples.__getitems__(list(range(start, min(start + CHUNK, len(examples)))))
            found += [example["label"] for example in chunk]
            progress.update(len(chunk))
    number_of = builder.info.features["label"].str2int
    indices = np.flatnonzero(np.isin(found, [number_of(label) for label in labels]))
    print(f"{builder.name}: {len(indices)} of {len(examples)} images of {split} have a label of {', '.join(labels)}",
          flush=True)
    _write_at_once(kept, indices)
    return indices


def _write_at_once(path, array):
    content = io.BytesIO()
    np.save(content, array)
    half_written = path.with_name(f"{path.name}.{os.getpid()}")
    half_written.write_bytes(content.getvalue())
    half_written.replace(path)


def _open(builder, split):
    try:
        return builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
    except NotImplementedError as reason:
        raise InputError(f"{builder.data_dir}: is prepared as {builder.info.file_format.value}, which has no random "
                         "access; move it away, or set TFDS_DATA_DIR to another folder") from reason


def _require_space(builder, needed):
    place = Path(builder.data_dir).expanduser()
    if str(place).startswith("gs:"):
        return
    place = next(folder for folder in [place, *place.parents] if folder.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise InputError(f"{builder.name}: needs about {needed / GIB:.1f} GiB and {place} has {free / GIB:.1f} GiB; "
                         "make room, or set TFDS_DATA_DIR to a larger disk")
