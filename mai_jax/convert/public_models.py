"""Published models: fetched once or taken from a file, verified, converted, and kept under their names."""

import hashlib
import logging
import shutil
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from mai_jax.convert import implementations
from mai_jax.errors import InputError
from mai_jax.inference.model_registry import PUBLIC, PublicModel
from mai_jax.training import packed_model
from mai_jax.training.packed_model import About

TIMEOUT = 60  # seconds without any data
CHUNK = 1 << 20  # bytes
MARGIN = 3  # free space that fetching needs, as a multiple of the file's size

log = logging.getLogger(__name__)


def get(name: str) -> None:
    """Fetch, verify and convert a model, unless it is there. Raises InputError."""
    model = _named(name)
    if model.is_here:
        log.info("%s is in %s already", name, model.folder)
        return
    by_hand = f"or fetch it by hand and give `mai models add {name} FILE`"
    model.folder.parent.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(model.folder.parent).free) < MARGIN * model.size:
        raise InputError(f"{model.folder.parent}: {free / 1e6:.0f} MB are free, {MARGIN * model.size / 1e6:.0f} MB are "
                         "needed; free some space")
    with tempfile.TemporaryDirectory(dir=model.folder.parent, prefix=f".{name}-") as temporary:
        file = Path(temporary, Path(model.url).name)
        log.info("fetching %s (%.0f MB) from %s", name, model.size / 1e6, model.url)
        try:
            _download(model, file)
        except (urllib.error.URLError, OSError, ValueError) as error:
            reason = str(getattr(error, "reason", error)).strip() or type(error).__name__
            raise InputError(f"{model.url}: cannot be fetched ({reason}); try again, {by_hand}") from error
        if (digest := _sha256(file)) != model.sha256:
            raise InputError(f"{model.url}: sha256 is {digest}, expected {model.sha256}; it was not fetched "
                             f"completely, or was replaced; try again, {by_hand}")
        _install(model, file, digest)


def add(name: str, file: Path) -> None:
    """Convert a model from a file. Raises InputError."""
    model = _named(name)
    if model.is_here:
        raise InputError(f"{model.folder}: is there already; remove it to add {file}")
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    _install(model, file, _sha256(file))


def _named(name: str) -> PublicModel:
    if name not in PUBLIC:
        raise InputError(f"{name!r}: no such model; there are {', '.join(PUBLIC)}")
    return PUBLIC[name]


def _download(model: PublicModel, file: Path) -> None:
    """Write the file; a content that is longer than the model's ends with an error. Raises OSError or URLError."""
    progress = tqdm(total=model.size, unit="B", unit_scale=True, leave=False, disable=None)
    with urllib.request.urlopen(model.url, timeout=TIMEOUT) as response, file.open("wb") as target, progress:
        while chunk := response.read(CHUNK):
            target.write(chunk)
            progress.update(len(chunk))
            if target.tell() > model.size:
                raise ValueError(f"longer than {model.size} bytes")


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _install(model: PublicModel, file: Path, digest: str) -> None:
    """Convert the file of this SHA-256 and write the packed model."""
    config, variables = implementations.read(model.implementation, {model.flag: file}, model.image_size)
    published = "the published file" if digest == model.sha256 else "not the published file, whose checksum differs"
    text = f"{model.origin} Converted from `{file.name}`, SHA-256 `{digest}`: {published}."
    packed_model.write(model.folder, config, variables, 0, About(model.name, text, model.licence))
    log.info("%s is in %s; %s is %s", model.name, model.folder, file.name, published)
