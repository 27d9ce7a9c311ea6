"""Measure a checkpoint, or what any program predicted, on held-out photographs.

    mai evaluate --workdir=runs/places2 --report
    mai evaluate --workdir=runs/places2 --step=all
    mai evaluate --pred=DIR --truth=DIR --masks=DIR

Writes one record per photograph and hole, result.json and a table, into a folder of its own; `mai results` lists these
folders. See docs/evaluation.md.
"""

import argparse
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mai_jax.cli import app, lpips_flags, model_argument
from mai_jax.cli.arguments import Switch, add_mask_reading, comma_list
from mai_jax.cli.model_argument import CLASSICAL
from mai_jax.errors import InputError

if TYPE_CHECKING:
    from mai_jax.evaluation.eval_target import EvalTarget

PROTOCOLS = ("default", "edge_connect", "mat", "lama", "aot")  # of evaluation/protocols.py, which is slow to import

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    model_argument.add_model(parser, "--workdir", dest="workdir", default=False)
    add("--step", type=_step, metavar="N|best|all",
        help="step of the checkpoint, best for the one that training has kept as such, or all; default: the newest")
    add("--data", metavar="DIR|NAME", help="test photographs: any address of docs/data.md; default: those of the run")
    add("--holes", metavar="FILE", help="manifest of holes that `mai masks` wrote; default: the holes of the run")
    add("--pred", metavar="DIR", help="photographs that any program completed; no default")
    add("--truth", metavar="DIR", help="the originals of --pred, of the same names; no default")
    add("--masks", metavar="DIR", help="the masks of --pred, of the same names; no default")
    add_mask_reading(parser, "--masks")
    add("--protocol", choices=PROTOCOLS, default="default", help="metric formulas; see docs/evaluation.md")
    add("--classical", action=Switch, help="add rows of Telea, Navier-Stokes and biharmonic inpainting")
    add("--against", type=comma_list, default=[], metavar="DIR,...",
        help="folders of earlier evaluations of the same pairs, or of their runs, one row each; default: none")
    lpips_flags.add_lpips(parser)
    add("--fid-weights", metavar="FILE", help="compute FID with these Inception weights; default: no FID")
    add("--csv", action=Switch, help="write records.csv, too: a row per pair, a column per metric and method")
    add("--report", action=Switch, help="write report.html, a page with tables, curves and images")
    add("--name", help="name of the method in the tables; default: the method of the run, or the name of --pred")
    add("--output", metavar="DIR", help="folder of the results; default: below WORKDIR/evaluations or "
                                         "runs/evaluation_<name>, named by step and flags")


def run(given: argparse.Namespace) -> None:
    folders = (given.pred, given.truth, given.masks)
    named = [folder is not None for folder in folders]
    if (given.workdir is not None) == any(named) or any(named) != all(named):
        raise InputError("give either --workdir=DIR, the folder that training wrote (or --model=NAME), or --pred, "
                         "--truth and --masks")

    import jax

    from mai_jax.evaluation import protocols
    from mai_jax.evaluation.classical import METHODS
    from mai_jax.evaluation.evaluator import MetricSet
    from mai_jax.evaluation.report import listing, result_files
    from mai_jax.nn import inception

    app.enable_compilation_cache()
    params = lpips_flags.load(given)
    fid_params = inception.load(given.fid_weights) if given.fid_weights else None
    rows = METHODS if given.classical else {"mean_colour": METHODS["mean_colour"]}
    metric_set = MetricSet(protocols.PROTOCOLS[given.protocol], params)
    written = []
    for target in _targets(given):
        target = target._replace(name=given.name or target.name)
        output = Path(given.output or _folder(given, target.stamp.get("step"), target.name))
        written.append(result_files.write(
            target, output, given.protocol, metric_set, rows, [Path(folder) for folder in given.against],
            fid_params=fid_params, with_page=given.report, with_csv=given.csv,
            replace_others=given.output is not None))
    if len(written) > 1 and jax.process_index() == 0:
        log.info("\n%s", listing.table(written[0].parent, written))


def _targets(given: argparse.Namespace) -> Iterator["EvalTarget"]:
    """Yield what is evaluated: files, or the checkpoints of --step. Raises InputError."""
    from mai_jax.evaluation import eval_target
    from mai_jax.inference import model_registry
    from mai_jax.training import best, checkpointing

    if given.workdir is None:
        yield eval_target.folders(given.pred, given.truth, given.masks, given.mask_means, given.mask_threshold)
        return
    if given.workdir in CLASSICAL:
        yield eval_target.classical(given.workdir, given.data, given.holes)
        return
    folder = model_registry.find(given.workdir) if given.workdir in model_registry.NAMES else Path(given.workdir)
    steps: list[int | None] = [given.step]
    if given.step == "best":
        if not checkpointing.steps(folder / best.FOLDER):
            raise InputError(f"--step=best: {folder / best.FOLDER} holds no checkpoint; train with "
                             "--config.run.keep_best=psnr")
        folder, steps = folder / best.FOLDER, [None]
    elif given.step == "all":
        if given.output:
            raise InputError("--output names one folder, and --step=all writes one for each step; leave it out")
        steps = [*checkpointing.steps(folder)] or [None]
    for step in steps:
        yield eval_target.checkpoint(model_registry.find(folder), step, given.data, given.holes)


def _step(text: str) -> int | str:
    """Return the step of --step=N as a number. Raises ArgumentTypeError."""
    if text in ("best", "all"):
        return text
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number, best or all")
    return int(text)


def _folder(given: argparse.Namespace, step: int | None, name: str) -> Path:
    """Return the folder of the results: the step or the files, and every flag that changes a number or adds a row."""
    from mai_jax.evaluation.report import result_files
    from mai_jax.inference import model_registry
    from mai_jax.training import packed_model

    def short(value: str) -> str:
        return re.sub(r"[^\w.]+", "_", Path(value).resolve().name) or "root"

    model = given.workdir
    has_name = model in CLASSICAL or model in model_registry.NAMES
    in_run = model and not has_name and not packed_model.is_packed(model)
    parts = [f"step{step}" if step is not None else "untrained"] if model else [short(given.truth), short(given.masks)]
    parts += [f"data_{short(given.data)}"] if given.data else []
    parts += [f"holes_{short(re.sub(r'manifest.jsonl$', '', given.holes))}"] if given.holes else []
    parts += [given.protocol] if given.protocol != "default" else []
    parts += [f"lpips_{given.lpips_net}" if given.lpips_net != "vgg" else "lpips"] if given.lpips else []
    parts += ["fid"] if given.fid_weights else []
    parts += ["classical"] if given.classical else []
    parts += [f"against_{short(folder)}" for folder in given.against]
    parent = Path(model, result_files.FOLDER) if in_run else Path("runs", f"evaluation_{name}")
    return parent / "-".join(parts)
