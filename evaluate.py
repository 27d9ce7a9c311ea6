"""Measures a checkpoint, or what any program painted, on held-out photographs.

python evaluate.py --workdir=runs/places2 --report
python evaluate.py --pred=DIR --truth=DIR --masks=DIR
"""

from pathlib import Path

from absl import flags

from mai_jax import command
from mai_jax.evaluation import lpips, report, subject
from mai_jax.evaluation.classical import METHODS
from mai_jax.evaluation.protocols import PROTOCOLS
from mai_jax.evaluation.runner import Judge
from mai_jax.nn import inception
from mai_jax.types import InputError

TEXT, SWITCH = flags.DEFINE_string, flags.DEFINE_bool
WORKDIR = TEXT("workdir", None, "The folder that training wrote.")
STEP = flags.DEFINE_integer("step", None, "The checkpoint's step; the newest by default.")
DATA = TEXT("data", None, "Other test photographs than the run's: a folder or a named source.")
HOLES = TEXT("holes", None, "A manifest of holes (python -m mai_jax.evaluation.holes).")
PRED = TEXT("pred", None, "Photographs that any program completed.")
TRUTH = TEXT("truth", None, "Their truths, of the same names.")
MASKS = TEXT("masks", None, "Their masks, of the same names.")
MASK_MEANS = flags.DEFINE_enum("mask_means", "hole", ["hole", "known"], "What white means in --masks.")
PROTOCOL = flags.DEFINE_enum("protocol", "default", list(PROTOCOLS), "Whose formulas; see evaluation/protocols.py.")
CLASSICAL = SWITCH("classical", False, "Rows for Telea, Navier-Stokes and biharmonic filling.")
AGAINST = flags.DEFINE_list("against", [], "Folders of earlier evaluations of the same pairs, one row each.")
LPIPS = SWITCH("lpips", False, "LPIPS; its weights are fetched once from the Hugging Face hub.")
LPIPS_VGG16 = TEXT("lpips_vgg16", None, "VGG-16's weights, a .safetensors file, instead of the fetched ones.")
LPIPS_HEADS = TEXT("lpips_heads", None, "LPIPS's linear heads, likewise.")
FID_WEIGHTS = TEXT("fid_weights", None, "FID, with these Inception weights: see docs/evaluation.md.")
REPORT = SWITCH("report", False, "Write report.html, one page to look at.")
NAME = TEXT("name", None, "The method's name in the tables; the run's method, or the name of --pred.")
OUTPUT = TEXT("output", None, "Where the results go; the workdir, or runs/evaluation_<pred>.")


def main() -> None:
    folders = (PRED.value, TRUTH.value, MASKS.value)
    named = [folder is not None for folder in folders]
    if (WORKDIR.value is not None) == any(named) or any(named) != all(named):
        raise InputError("give either --workdir=DIR, the folder that training wrote, or --pred, --truth and --masks")
    params = lpips.load_or_fetch(LPIPS_VGG16.value, LPIPS_HEADS.value) if LPIPS.value else None
    fid_params = inception.load(FID_WEIGHTS.value) if FID_WEIGHTS.value else None
    if WORKDIR.value is not None:
        measured = subject.checkpoint(Path(WORKDIR.value), STEP.value, DATA.value, HOLES.value)
    else:
        measured = subject.folders(*folders, MASK_MEANS.value)
    measured = measured._replace(name=NAME.value or measured.name)
    output = OUTPUT.value or WORKDIR.value or Path("runs", f"evaluation_{measured.name}")
    rows = METHODS if CLASSICAL.value else {"mean_colour": METHODS["mean_colour"]}
    report.write(measured, Path(output), PROTOCOL.value, Judge(PROTOCOLS[PROTOCOL.value], params), rows,
                 [Path(folder) for folder in AGAINST.value], fid_params=fid_params, with_page=REPORT.value)


if __name__ == "__main__":
    command.run(main)
