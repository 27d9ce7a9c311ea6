"""Fill the holes of photographs.

    mai inpaint --model=lama --image=photo.jpg --mask=mask.png --output=filled.jpg
    mai inpaint --model=runs/places2 --image=photos/ --mask=watermark.png --output=filled/

A photograph that cannot be filled is reported and the others are filled; the exit code is then 1.
"""

import argparse
import logging
from collections import Counter

from mai_jax.cli import app, model_argument
from mai_jax.cli.arguments import Switch, add_mask_reading, integer
from mai_jax.errors import InputError

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    model_argument.add_model(parser, "--checkpoint")
    add("--image", metavar="PATH", required=True, help="a photograph, a folder or a 'glob'")
    add("--mask", metavar="PATH", default="alpha",
        help="white = hole: a file for all photographs, a folder or 'glob' of files with their names, or alpha: their "
             "transparency")  # fmt: skip
    add("--output", metavar="PATH", required=True, help="a file, or a folder for several photographs")
    add_mask_reading(parser, "--mask")
    add("--allow-empty", action=Switch, help="copy a photograph whose mask has no hole; otherwise it is an error")
    add("--dilate", type=integer(at_least=0, at_most=1000), default=0, metavar="PIXELS",
        help="pixels by which holes are enlarged, for masks that leave a rim of what they cover")
    add("--attention", action=Switch, help="also write NAME_attention.png: the source of each filled pixel")
    add("--overwrite", action=Switch, help="fill again what exists in --output; otherwise it is skipped")


def run(given: argparse.Namespace) -> int:
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    from mai_jax.inference import photo_jobs
    from mai_jax.inference.photo_repair import fill

    model_argument.required(given)
    app.enable_compilation_cache()
    jobs = photo_jobs.find(given.image, given.mask, given.output)
    open_jobs = [job for job in jobs if given.overwrite or not job.output.exists()]
    if skipped := len(jobs) - len(open_jobs):
        log.info("%d of %d are there already and are skipped; --overwrite fills them again", skipped, len(jobs))
    if not open_jobs:
        return 0
    inpainter = model_argument.open_inpainter(given)
    counts = Counter(skipped=skipped)
    readings: set[str] = set()
    with logging_redirect_tqdm([logging.getLogger("mai_jax")]):
        for job in tqdm(open_jobs, unit="photo", disable=len(open_jobs) == 1):
            try:
                done = fill(inpainter, job, mask_means=given.mask_means, mask_threshold=given.mask_threshold,
                            grow_by=given.dilate, attention=given.attention, allow_empty=given.allow_empty)
                counts[done.status] += 1
                if done.reading not in readings:  # once for all masks that are read alike
                    log.info("%s: %s", job.mask or job.image, done.reading)
                    readings.add(done.reading)
            except InputError as error:
                counts["failed"] += 1
                log.error("%s", error)
    unchanged = f"{counts['unchanged']} unchanged, " if counts["unchanged"] else ""
    log.info("%d filled, %s%d skipped, %d failed", counts["filled"], unchanged, skipped, counts["failed"])
    return 1 if counts["failed"] else 0
