"""Matching of photographs, masks and output files."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from mai_jax.errors import InputError
from mai_jax.files import find_images

ALPHA = "alpha"  # in place of a mask: the hole is the transparent part of the photograph


@dataclass(frozen=True)
class Job:
    """The files of one photograph to fill."""

    image: Path
    mask: Path | None  # None: the hole is the transparent part of the photograph
    output: Path


def find(images: str, masks: str, output: str) -> list[Job]:
    """Return one job per photograph.

    `images` is a file, a folder, searched recursively, or a glob. `masks` is one file for all photographs, a folder or
    a glob of files matched by name, or "alpha". `output` is a file if `images` is one file, otherwise a folder. Raises
    InputError if a file is missing, names are ambiguous, or an output would overwrite an input.
    """
    photos = _expand(images, "--image")
    if not Path(images).expanduser().is_file() or output.endswith("/") or Path(output).is_dir():
        outputs = {name: Path(output).expanduser() / name for name in photos}
    else:
        outputs = dict.fromkeys(photos, Path(output).expanduser())
    jobs = [Job(path, mask, outputs[name])
            for (name, path), mask in zip(photos.items(), _masks(photos, masks), strict=True)]
    inputs = {path.resolve() for job in jobs for path in (job.image, job.mask) if path}
    for job in jobs:
        if job.output.resolve() in inputs:
            raise InputError(f"--output={output}: would overwrite {job.output}, which is read; name another place")
    return jobs


def _expand(pattern: str, flag: str) -> dict[str, Path]:
    """Return files by their name relative to the folder of the pattern. Raises InputError, which names `flag`."""
    path = Path(pattern).expanduser()
    if path.is_dir():
        return {name: path / name for name in find_images(pattern, flag)}
    if path.is_file():
        return {path.name: path}
    if not glob.has_magic(pattern):
        raise InputError(f"{flag}={pattern}: there is no such file or folder")
    files = [Path(name) for name in sorted(glob.glob(str(path), recursive=True)) if Path(name).is_file()]
    if not files:
        raise InputError(f"{flag}={pattern}: matches no file; quote the pattern, so that the shell does not expand it")
    root = Path(_fixed_part(path))
    return {file.relative_to(root).as_posix(): file for file in files}


def _fixed_part(pattern: PurePath) -> PurePath:
    """Return the folders before the first part with a wildcard."""
    parts = pattern.parts
    return PurePath(*parts[: next(i for i, part in enumerate(parts) if glob.has_magic(part))])


def _masks(images: dict[str, Path], masks: str) -> Sequence[Path | None]:
    """Return the mask of each image, None for ALPHA."""
    if masks == ALPHA:
        return [None] * len(images)
    found = _expand(masks, "--mask")
    if Path(masks).expanduser().is_file():
        return list(found.values()) * len(images)
    by_stem: dict[str, Path] = {}
    for name, path in found.items():
        other = by_stem.setdefault(_stem(name), path)
        if other != path:
            raise InputError(f"{path}: has the name of {other}; keep one of them")
    if missing := [path for name, path in images.items() if _stem(name) not in by_stem]:
        more = f" (nor have {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise InputError(f"{missing[0]}: has no mask of its name in --mask={masks}{more}; add it, or name one "
                         "mask file for all")
    return [by_stem[_stem(name)] for name in images]


def _stem(name: str) -> str:
    return PurePath(name).with_suffix("").as_posix()
