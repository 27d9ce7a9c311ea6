"""Matching of photographs, masks and output files."""

import glob
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import NamedTuple

from mai_jax.data.mask_names import photograph_of
from mai_jax.errors import InputError
from mai_jax.files import EXTENSIONS, list_folder, name_some
from mai_jax.image_io import FORMAT_OF_SUFFIX

ALPHA = "alpha"  # in place of a mask: the hole is the transparent part of the photograph
STREAM = Path("-")  # in place of a file: standard input or output
PHOTO_EXTENSIONS = tuple(dict.fromkeys([*EXTENSIONS, *FORMAT_OF_SUFFIX]))


@dataclass(frozen=True)
class Job:
    """The files of one photograph to fill."""

    image: Path
    masks: tuple[Path, ...]  # their union is the hole; none: the hole is the transparent part of the photograph
    output: Path


class Problem(NamedTuple):
    """A photograph without a job, and why."""

    image: Path
    message: str


class Found(NamedTuple):
    """The jobs, the photographs without one, and `notes` that say which files are left out."""

    jobs: list[Job]
    problems: list[Problem]
    notes: list[str]


def find(images: str, masks: str, output: str, ending: str | None = None, *, frames: bool = False) -> Found:
    """Return one job per photograph.

    `images` is a file, a folder, searched recursively, or a glob. `masks` is one file for all photographs, a folder or
    a glob of files matched by name, or "alpha". `output` is a file if `images` is one file, otherwise a folder, in
    which results of another format than that of `ending` ("png") get this ending. "-" is standard input or output. With
    `frames` and without masks of these names, all masks are for the only photograph, or as many masks as photographs
    are paired in order. Masks and earlier results among the images are left out. Raises InputError if a file is
    missing, no photograph has a mask, or an output would overwrite an input.
    """
    photos, unread = _expand(images, "--image")
    target = Path(output).expanduser()
    is_one = _is_file(images)
    is_file = is_one and not output.endswith("/") and not os.path.isdir(target)
    _check_streams(images, masks, output, is_one=is_one, is_file=is_file)
    _check_output(target, output)
    if is_file:
        _check_ending(output, ending)
    notes = [f"{images}: not read, because they are no images: {len(unread)} ({name_some(unread)})"] if unread else []
    if not is_one and not _root(images).resolve().is_relative_to(target.resolve()):
        photos, results = _split(photos, lambda path: path.resolve().is_relative_to(target.resolve()))
        notes += [f"{images}: not filled, because they are in --output: {len(results)}"] if results else []
    by_photo, used = _masks(photos, masks, _root(images))
    if frames and not any(by_photo.values()) and masks != ALPHA:
        by_photo, used = _in_order(photos, masks)
        if len(photos) > 1 and any(by_photo.values()):
            name, paths = next(iter(by_photo.items()))
            notes.append(f"{masks}: holds as many masks, of other names; they are taken in order: {name} with "
                         f"{paths[0].name} and so on")
    if not is_one:
        photos, left_out = _split(photos, lambda path: path.resolve() in used)
        notes += [f"{images}: not filled, because they are masks: {len(left_out)}"] if left_out else []
    missing = [path for name, path in photos.items() if masks != ALPHA and not by_photo[name]]
    problems = [Problem(path, f"{path}: has no mask of its name in --mask={masks}; add it ({path.stem}.png or "
                        f"{path.stem}_mask.png), or name one mask file for all") for path in missing]
    jobs = [Job(path, tuple(by_photo[name]), target if is_file else target / _with_ending(name, ending))
            for name, path in photos.items() if path not in missing]
    if not jobs and problems:
        more = f" ({len(problems)} photographs have none)" if len(problems) > 1 else ""
        raise InputError(problems[0].message + more)
    if not jobs:
        raise InputError(f"{images}: holds no photograph to fill ({'; '.join(notes)}); name another folder")
    inputs = used | {job.image.resolve() for job in jobs}
    for job in jobs:
        if job.output != STREAM and job.output.resolve() in inputs:
            raise InputError(f"--output={output}: would overwrite {job.output}, which is read; name another place")
    jobs, same_names = _unique(jobs)
    return Found(jobs, problems + same_names, notes)


def _check_streams(images: str, masks: str, output: str, *, is_one: bool, is_file: bool) -> None:
    stream = str(STREAM)
    if images == masks == stream:
        raise InputError("--image=- and --mask=-: there is one standard input; name a file for one of them")
    if images == stream and not is_file:
        raise InputError(f"--output={output}: a photograph from standard input has no name; name a file, or - for "
                         "standard output")
    if output == stream and not is_one:
        raise InputError("--output=-: is for one photograph; name a folder for several")


def _check_ending(output: str, ending: str | None) -> None:
    """Raise InputError if the name of the one result is that of another format than `ending`."""
    named = FORMAT_OF_SUFFIX.get(PurePath(output).suffix.lower())
    if ending is not None and named not in (None, FORMAT_OF_SUFFIX[f".{ending}"]):
        raise InputError(f"--output={output}: has the ending of a {named} file, and --format={ending} is given; leave "
                         "out --format or change the name")


def _with_ending(name: str, ending: str | None) -> str:
    path = PurePath(name)
    if ending is None or FORMAT_OF_SUFFIX.get(path.suffix.lower()) == FORMAT_OF_SUFFIX[f".{ending}"]:
        return name
    return path.with_suffix(f".{ending}").as_posix()


def _unique(jobs: list[Job]) -> tuple[list[Job], list[Problem]]:
    """Return the jobs without those whose result has the name of an earlier one, as x.jpg and x.png with an ending."""
    first: dict[Path, Job] = {}
    for job in jobs:
        first.setdefault(job.output, job)
    return list(first.values()), [
        Problem(job.image, f"{job.image}: its result would be {job.output}, as that of {first[job.output].image}; "
                "rename one of them") for job in jobs if first[job.output] is not job]  # fmt: skip


def _is_file(pattern: str) -> bool:
    return pattern == str(STREAM) or Path(pattern).expanduser().is_file()


def _check_output(target: Path, output: str) -> None:
    """Raise InputError for a device or pipe, which cannot be replaced as a whole."""
    parent = target.parent.resolve()
    if target == STREAM:
        return
    is_device = parent in (Path("/dev"), Path("/dev/pts")) or parent.is_relative_to("/proc")
    if is_device or (os.path.exists(target) and not os.path.isfile(target) and not os.path.isdir(target)):
        raise InputError(f"--output={output}: is neither a file nor a folder; name a file to write")


def _expand(pattern: str, flag: str) -> tuple[dict[str, Path], list[str]]:
    """Return files by their name relative to the folder of the pattern, and the other files of a folder.

    Raises InputError, which names `flag`.
    """
    path = Path(pattern).expanduser()
    if pattern == str(STREAM):
        return {pattern: path}, []
    if path.is_dir():
        found, others = list_folder(pattern, flag, PHOTO_EXTENSIONS)
        return {name: path / name for name in found}, others
    if path.is_file():
        return {path.name: path}, []
    if not glob.has_magic(pattern):
        raise InputError(f"{flag}={pattern}: there is no such file or folder")
    files = [Path(name) for name in sorted(glob.glob(str(path), recursive=True)) if Path(name).is_file()]
    if not files:
        raise InputError(f"{flag}={pattern}: matches no file; quote the pattern, so that the shell does not expand it")
    root = _root(pattern)
    return {file.relative_to(root).as_posix(): file for file in files}, []


def _root(pattern: str) -> Path:
    """Return the folder itself, or the folders before the first part of a pattern with a wildcard."""
    path = Path(pattern).expanduser()
    if path.exists() or path == STREAM:
        return path
    return Path(*path.parts[: next(i for i, part in enumerate(path.parts) if glob.has_magic(part))])


def _split(photos: dict[str, Path], is_left_out: Callable[[Path], bool]) -> tuple[dict[str, Path], list[str]]:
    """Return the photographs that stay, and the names of those that are left out."""
    left_out = [name for name, path in photos.items() if is_left_out(path)]
    return {name: path for name, path in photos.items() if name not in left_out}, left_out


def _masks(images: dict[str, Path], masks: str, root: Path) -> tuple[dict[str, list[Path]], set[Path]]:
    """Return the masks of each image, none for ALPHA, and the mask files, resolved, which are not to be filled.

    In a folder of masks inside `root`, the folder of the images, these are all files.
    """
    if masks == ALPHA:
        return {name: [] for name in images}, set()
    found, _ = _expand(masks, "--mask")
    if _is_file(masks):
        return {name: list(found.values()) for name in images}, {path.resolve() for path in found.values()}
    stems = {_stem(name) for name in images}
    mask_root = _root(masks).resolve()
    is_inside = mask_root != root.resolve() and mask_root.is_relative_to(root.resolve())
    used = {path.resolve() for path in found.values()} if is_inside else set()
    by_stem: dict[str, list[Path]] = {}
    for name, path in found.items():
        is_image = name in images and images[name].resolve() == path.resolve()  # one folder holds both
        stem = photograph_of(_stem(name), stems, is_photograph=is_image)
        folder = PurePath(name).parent.as_posix()
        if stem is None and folder in stems and not is_image:
            stem = folder
        if stem is not None:
            by_stem.setdefault(stem, []).append(path)
            used.add(path.resolve())
    return {name: sorted(by_stem.get(_stem(name), []), key=_by_number) for name in images}, used


def _in_order(images: dict[str, Path], masks: str) -> tuple[dict[str, list[Path]], set[Path]]:
    """Return all masks for one image, or one for each of as many images; otherwise none."""
    taken = set(images.values())
    found = sorted((path for path in _expand(masks, "--mask")[0].values() if path not in taken), key=_by_number)
    names = sorted(images, key=lambda name: _by_number(images[name]))
    if len(names) not in (1, len(found)):
        return {name: [] for name in names}, set()
    by_image = {names[0]: found} if len(names) == 1 else {name: [path] for name, path in zip(names, found, strict=True)}
    return by_image, {path.resolve() for path in found}


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Return a key with which frame10.png follows frame9.png."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", path.as_posix())]


def _stem(name: str) -> str:
    return PurePath(name).with_suffix("").as_posix()
