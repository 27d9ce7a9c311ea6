"""A source of encoded images from a data set of the Hugging Face hub, read with its library `datasets`."""

import re
from pathlib import Path
from typing import Any, SupportsIndex

from mai_jax.data import tfds_source
from mai_jax.data.images import Encoded
from mai_jax.errors import InputError
from mai_jax.files import read_file

PREFIX = "hf:"
ADDRESS = re.compile(PREFIX + r"(?P<name>[\w.-]+(/[\w.-]+)?)(:(?P<split>[a-z].*))?")


class HubImages:
    """The images of a split, whose rows are those of `datasets` with encoded images; the id is "split/index"."""

    def __init__(self, name: str, split: str, rows: Any, column: str) -> None:
        self._name, self._split, self._rows, self._column = name, split, rows, column

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, i: SupportsIndex) -> Encoded:
        name, image = f"{self._split}/{i.__index__()}", self._rows[i.__index__()][self._column]
        try:
            content = image["bytes"] if image["bytes"] is not None else read_file(Path(image["path"]))
        except (OSError, TypeError) as error:  # a row may have no image
            raise InputError(f"{PREFIX}{self._name}, {name}: has no image ({error}); name another split") from error
        return {"id": name, "bytes": content}

    def __repr__(self) -> str:
        return f"HubImages({self._name}, {self._split}, {len(self)} images)"


def open_address(address: str, setting: str, part: str, *, has_test: bool) -> HubImages:
    """Return the images of `hf:NAME[:SPLIT]`, as `tfds_source.open_address`; fetch the data set if needed."""
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise InputError(f"{setting}={address!r}: write {PREFIX}NAME or {PREFIX}NAME:SPLIT")
    name, split = match["name"], match["split"]
    if split and not has_test:
        raise InputError(f"{setting}={address!r}: holds out nothing for the test; give config.data.test, such as "
                         f"{PREFIX}{name}:test, or {PREFIX}{name}:{split}[95%:] with [:95%] here")
    try:
        import datasets

        split = split or tfds_source.split_of(part, datasets.get_dataset_split_names(name), address, setting)
        rows = datasets.load_dataset(name, split=split)
        columns = [column for column, kind in rows.features.items() if isinstance(kind, datasets.Image)]
        if "image" not in columns and len(columns) != 1:
            raise InputError(f"{setting}={address!r}: has {len(columns) or 'no'} columns of images; one is needed, or "
                             "one called image")
        column = "image" if "image" in columns else columns[0]
        return HubImages(name, split, rows.select_columns([column]).cast_column(column, datasets.Image(decode=False)),
                         column)
    except ModuleNotFoundError as error:
        raise InputError(f"{setting}={address!r}: needs {error.name}; pip install 'mai_jax[hf]'") from error
    except InputError:
        raise
    except Exception as error:  # of the network, or a data set or split that does not exist
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{setting}={address!r}: cannot be opened ({reason})") from error
