"""Fill the holes of photographs.

    mai inpaint --model=lama --image=photo.jpg --mask=mask.png --output=filled.jpg
    mai inpaint --model=runs/places2 --image=photos/ --mask=watermark.png --output=filled/
    mai inpaint --model=lama --image=- --mask=mask.png --output=- < photo.jpg > filled.jpg

A photograph that cannot be filled is reported and the others are filled. Exit codes: 0: every result is there (filled,
copied with --allow-empty, or skipped because it was there before); 1: some or all are not, and one line each says why;
130: stopped by Ctrl-C.
"""

import argparse
import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mai_jax.cli import app, model_argument
from mai_jax.cli.arguments import Parser, Switch, add_mask_reading, integer
from mai_jax.errors import InputError

if TYPE_CHECKING:
    from mai_jax.image_io import Frame
    from mai_jax.inference import Inpainter
    from mai_jax.inference.options import Options
    from mai_jax.inference.photo_jobs import Job

# Repeated here because the modules are slow to import: inference/blending.py and image_io/photo.py.
BLENDS = ("gradient", "none")
FORMATS = ("png", "jpg", "webp", "tif", "bmp", "avif", "heic")
LOSSY = ("jpg", "webp", "avif", "heic")

log = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    add = parser.add_argument
    parser.positional = ("--image", "--mask", "--output")
    model_argument.add_model(parser, "--checkpoint")
    add("--step", type=int, help="step of the checkpoint; default: the newest")
    add("--image", metavar="PATH", required=True, help="a photograph, a folder, a 'glob', or - for standard input")
    add("--mask", metavar="PATH", default="alpha",
        help="white = hole: a file for all photographs, a folder or 'glob' of files with their names, - for standard "
             "input, or alpha: their transparency")  # fmt: skip
    add("--output", metavar="PATH", required=True,
        help="a file, a folder for several photographs, or - for standard output")
    add_mask_reading(parser, "--mask")
    add("--mask-orientation", choices=("upright", "stored"), default="upright",
        help="stored: masks were drawn on a photograph whose EXIF tag was not applied")
    add("--soft", action=Switch, help="the grey of a mask says how much of each pixel is filled, for soft edges")
    add("--allow-empty", action=Switch, help="copy a photograph whose mask has no hole; otherwise it is an error")
    add("--frames", action=Switch,
        help="fill animated GIF, PNG and WebP and TIFF of several pages; --mask is one for all frames, a file of as "
             "many frames, or a folder of as many files")  # fmt: skip
    add("--dilate", type=integer(at_least=0, at_most=1000), default=0, metavar="PIXELS",
        help="pixels by which holes are enlarged, for masks that leave a rim of what they cover")
    add("--blend", choices=BLENDS, default=BLENDS[0], help="how holes are blended with their surroundings")
    add("--attention", action=Switch, help="also write NAME_attention.png: the source of each filled pixel")
    add("--format", choices=FORMATS, help="format of the results; default: that of the name, or of the photograph")
    add("--quality", type=integer(at_least=1, at_most=100), metavar="1-100",
        help="of JPEG, lossy WebP, AVIF and HEIC; default: the coding tables of a JPEG stay, otherwise 90")
    add("--lossless", action=Switch, help="write WebP and HEIC without loss")
    add("--overwrite", action=Switch, help="fill again what exists in --output; otherwise it is skipped")
    add("--json", action=Switch, help="print one line of JSON per photograph, and messages on standard error")


def run(given: argparse.Namespace) -> int:
    if given.json or given.output == "-":
        app.log_to_stderr()
    options = _options(given)
    from mai_jax.inference import photo_files, photo_jobs

    app.enable_compilation_cache()
    jobs, problems, notes = photo_jobs.find(given.image, given.mask, given.output, given.format, frames=given.frames)
    for note in notes:
        log.warning("%s", note)
    if given.quality and not any(photo_files.may_have_quality(job) for job in jobs):
        raise InputError(f"--quality and --output={given.output}: no result has a format with a quality; leave out one "
                         "of them, or give --format=jpg")
    report = _Report(as_json=given.json)
    for problem in problems:
        report.failed(problem.image, problem.message)
    open_jobs = []
    for job in jobs:
        if given.overwrite or not _is_there(job):
            open_jobs.append(job)
        else:
            report.add("skipped", job.image, output=str(job.output))
    if done_before := len(jobs) - len(open_jobs):
        log.info("%d of %d are there already and are skipped; --overwrite fills them again", done_before, len(jobs))
    if open_jobs:
        _fill_all(model_argument.open_inpainter(given), open_jobs, options, report, overwrite=given.overwrite)
    elif not problems:
        return 0
    counts = report.counts
    unchanged = f"{counts['unchanged']} unchanged, " if counts["unchanged"] else ""
    log.info("%d filled, %s%d skipped, %d failed", counts["filled"], unchanged, counts["skipped"], counts["failed"])
    return 1 if counts["failed"] else 0


def _options(given: argparse.Namespace) -> "Options":
    """Return the options of the repair. Raises InputError for flags that contradict each other."""
    for flag, other in (("--mask-threshold", given.mask_threshold), ("--dilate", given.dilate)):
        if given.soft and other:
            raise InputError(f"--soft and {flag}: a soft mask is used as it is; leave out one of them")
    if given.frames and given.attention:
        raise InputError("--frames and --attention: there is no picture of several frames; leave out one of them")
    if given.quality and given.lossless:
        raise InputError("--quality and --lossless: what is stored without loss has no quality; leave out one of them")
    if given.quality and given.format not in (None, *LOSSY):
        raise InputError(f"--quality and --format={given.format}: this format has no quality; leave out one of them")
    if given.output == "-":
        if given.json or given.attention:
            flag = "--json" if given.json else "--attention"
            raise InputError(f"--output=- and {flag}: standard output holds the photograph; name a file for it")
        if sys.stdout.isatty():
            raise InputError("--output=-: standard output is the terminal; redirect it, as in > FILE")
    from mai_jax.inference.options import Options

    return Options(mask_means=given.mask_means, mask_threshold=given.mask_threshold,
                   mask_orientation=given.mask_orientation, grow_by=given.dilate, soft=given.soft, blend=given.blend,
                   attention=given.attention, allow_empty=given.allow_empty, frames=given.frames,
                   format=given.format, quality=given.quality, lossless=given.lossless)


def _fill_all(
    inpainter: "Inpainter", jobs: Sequence["Job"], options: "Options", report: "_Report", *, overwrite: bool
) -> None:
    """Fill the photographs and report each."""
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    from mai_jax.inference import photo_files, photo_repair

    readings: set[str] = set()

    def progress(frames: Iterable["Frame"], number: int) -> Iterable["Frame"]:
        return tqdm(frames, unit="frame", total=number, leave=False)

    with logging_redirect_tqdm([logging.getLogger("mai_jax")]):
        for job in tqdm(jobs, unit="photo", disable=len(jobs) == 1):
            if not overwrite and _is_there(job):  # another process has filled it in the meantime
                report.add("skipped", job.image, output=str(job.output))
                continue
            start = time.perf_counter()
            try:
                done = photo_repair.fill(inpainter, job, options, progress)
            except InputError as error:
                report.failed(job.image, str(error))
                continue
            seconds, frames = round(time.perf_counter() - start, 3), {"frames": done.frames} if options.frames else {}
            report.add(done.status, job.image, output=str(job.output), holes=done.holes, share=round(done.share, 6),
                       seconds=seconds, **frames)
            if done.reading not in readings:  # once for all masks that are read alike
                log.info("%s: %s", photo_files.name_of(job.masks[0] if job.masks else job.image), done.reading)
                readings.add(done.reading)


def _is_there(job: "Job") -> bool:
    return str(job.output) != "-" and os.path.exists(job.output)


class _Report:
    """The number of photographs by their outcome; each is a line of JSON on stdout if `as_json`."""

    def __init__(self, *, as_json: bool) -> None:
        self.counts: Counter[str] = Counter()
        self._as_json = as_json

    def add(self, status: str, image: Path, **values: Any) -> None:
        self.counts[status] += 1
        if self._as_json:
            print(json.dumps({"image": str(image), "status": status, **values}), flush=True)

    def failed(self, image: Path, message: str) -> None:
        log.error("%s", message)
        self.add("failed", image, error=message)
