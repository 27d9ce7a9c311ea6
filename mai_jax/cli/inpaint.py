"""Fill the holes of photographs.

    mai inpaint --model=lama --image=photo.jpg --mask=mask.png --output=filled.jpg
    mai inpaint --model=runs/places2 --image=photos/ --mask=watermark.png --output=filled/

A photograph that cannot be filled is reported and the others are filled; the exit code is then 1.
"""

import argparse
import logging
import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mai_jax.cli import app, model_argument
from mai_jax.cli.arguments import Parser, Switch, add_mask_reading, integer
from mai_jax.errors import InputError

if TYPE_CHECKING:
    from mai_jax.inference import Inpainter
    from mai_jax.inference.photo_jobs import Job

BLENDS = ("gradient", "none")  # of inference/blending.py, which is slow to import

log = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    add = parser.add_argument
    parser.positional = ("--image", "--mask", "--output")
    model_argument.add_model(parser, "--checkpoint")
    add("--step", type=int, help="step of the checkpoint; default: the newest")
    add("--image", metavar="PATH", required=True, help="a photograph, a folder or a 'glob'")
    add("--mask", metavar="PATH", default="alpha",
        help="white = hole: a file for all photographs, a folder or 'glob' of files with their names, or alpha: their "
             "transparency")  # fmt: skip
    add("--output", metavar="PATH", required=True, help="a file, or a folder for several photographs")
    add_mask_reading(parser, "--mask")
    add("--mask-orientation", choices=("upright", "stored"), default="upright",
        help="stored: masks were drawn on a photograph whose EXIF tag was not applied")
    add("--allow-empty", action=Switch, help="copy a photograph whose mask has no hole; otherwise it is an error")
    add("--dilate", type=integer(at_least=0, at_most=1000), default=0, metavar="PIXELS",
        help="pixels by which holes are enlarged, for masks that leave a rim of what they cover")
    add("--blend", choices=BLENDS, default=BLENDS[0], help="how holes are blended with their surroundings")
    add("--attention", action=Switch, help="also write NAME_attention.png: the source of each filled pixel")
    add("--overwrite", action=Switch, help="fill again what exists in --output; otherwise it is skipped")


def run(given: argparse.Namespace) -> int:
    from mai_jax.inference import photo_jobs

    model_argument.required(given)
    app.enable_compilation_cache()
    jobs, problems, notes = photo_jobs.find(given.image, given.mask, given.output)
    for note in notes:
        log.warning("%s", note)
    for problem in problems:
        log.error("%s", problem)
    counts = Counter(failed=len(problems))
    open_jobs = [job for job in jobs if given.overwrite or not os.path.exists(job.output)]
    if done_before := len(jobs) - len(open_jobs):
        log.info("%d of %d are there already and are skipped; --overwrite fills them again", done_before, len(jobs))
    if open_jobs:
        counts += _fill_all(model_argument.open_inpainter(given), open_jobs, given)
    elif not problems:
        return 0
    counts["skipped"] += done_before
    unchanged = f"{counts['unchanged']} unchanged, " if counts["unchanged"] else ""
    log.info("%d filled, %s%d skipped, %d failed", counts["filled"], unchanged, counts["skipped"], counts["failed"])
    return 1 if counts["failed"] else 0


def _fill_all(inpainter: "Inpainter", jobs: Sequence["Job"], given: argparse.Namespace) -> Counter[str]:
    """Fill the photographs, log what cannot be filled, and return the number of jobs by their outcome."""
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    from mai_jax.inference.photo_repair import fill

    counts: Counter[str] = Counter()
    readings: set[str] = set()
    with logging_redirect_tqdm([logging.getLogger("mai_jax")]):
        for job in tqdm(jobs, unit="photo", disable=len(jobs) == 1):
            if not given.overwrite and os.path.exists(job.output):  # another process has filled it in the meantime
                counts["skipped"] += 1
                continue
            try:
                done = fill(inpainter, job, mask_means=given.mask_means, mask_threshold=given.mask_threshold,
                            mask_orientation=given.mask_orientation, grow_by=given.dilate, attention=given.attention,
                            allow_empty=given.allow_empty, blend=given.blend)
            except InputError as error:
                counts["failed"] += 1
                log.error("%s", error)
                continue
            counts[done.status] += 1
            if done.reading not in readings:  # once for all masks that are read alike
                log.info("%s: %s", job.masks[0] if job.masks else job.image, done.reading)
                readings.add(done.reading)
    return counts
