"""Fills holes in photographs: `python inpaint.py`, or `mai-inpaint` once installed.

python inpaint.py --checkpoint=runs/places2 --image=photo.jpg --mask=mask.png --output=filled.jpg
python inpaint.py --checkpoint=runs/places2 --image=photos/ --mask=watermark.png --output=filled/
"""

import logging
from collections.abc import Sequence

from absl import flags
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from mai_jax import command
from mai_jax.inference import Inpainter
from mai_jax.repair import jobs as jobs_lib
from mai_jax.repair.filling import fill
from mai_jax.repair.jobs import ALPHA, Job
from mai_jax.types import InputError

log = logging.getLogger(__name__)

TEXT, SWITCH = flags.DEFINE_string, flags.DEFINE_bool
CHECKPOINT = TEXT("checkpoint", None, "The folder that training wrote.", required=True)
STEP = flags.DEFINE_integer("step", None, "The checkpoint's step; the newest by default.")
IMAGE = TEXT("image", None, "A photograph, a folder or a 'glob'.", required=True)
MASK = TEXT("mask", ALPHA, "White = hole. A file for all, or a folder or 'glob' of files with the photographs' names, "
            "or alpha: the photographs' transparency.")
OUTPUT = TEXT("output", None, "A file, or a folder for several.", required=True)
MASK_MEANS = flags.DEFINE_enum("mask_means", "hole", ["hole", "known"], "What white means in --mask.")
DILATE = flags.DEFINE_integer("dilate", 0, "Pixels by which holes grow; some if a rim of what is removed stays.",
                              lower_bound=0, upper_bound=1000)
ATTENTION = SWITCH("attention", False, "Also write NAME_attention.png: from where each filled pixel was taken.")
OVERWRITE = SWITCH("overwrite", False, "Fill again what is there already; otherwise it is skipped.")
flags.DEFINE_alias("mask-means", "mask_means")


def main() -> int:
    jobs = jobs_lib.find(IMAGE.value, MASK.value, OUTPUT.value)
    open_jobs = [job for job in jobs if OVERWRITE.value or not job.output.exists()]
    if skipped := len(jobs) - len(open_jobs):
        log.info("%d of %d are there already and are skipped; --overwrite fills them again", skipped, len(jobs))
    if not open_jobs:
        return 0
    inpainter = Inpainter.from_checkpoint(CHECKPOINT.value, STEP.value)
    failed = _fill_all(inpainter, open_jobs)
    log.info("%d filled, %d skipped, %d failed", len(open_jobs) - failed, skipped, failed)
    return 1 if failed else 0


def _fill_all(inpainter: Inpainter, jobs: Sequence[Job]) -> int:
    """Fills what can be filled, and returns how many could not."""
    failed = 0
    with logging_redirect_tqdm([logging.getLogger("mai_jax")]):
        for job in tqdm(jobs, unit="photo", disable=len(jobs) == 1):
            try:
                fill(inpainter, job, mask_means=MASK_MEANS.value, grow_by=DILATE.value, attention=ATTENTION.value)
            except InputError as error:
                failed += 1
                log.error("%s", error)
    return failed


def run() -> None:
    command.run(main)
