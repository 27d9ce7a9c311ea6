"""Measure a checkpoint, or what any program predicted, on held-out photographs.

    mai evaluate --workdir=runs/places2 --report
    mai evaluate --pred=DIR --truth=DIR --masks=DIR

Writes one record per photograph and hole, result.json and a table, into a folder of its own; `mai results` lists these
folders. See docs/evaluation.md.
"""

import argparse
import re
from pathlib import Path

from mai_jax.cli import app, lpips_flags, model_argument
from mai_jax.cli.arguments import Switch, add_mask_reading, comma_list
from mai_jax.cli.model_argument import CLASSICAL
from mai_jax.errors import InputError

PROTOCOLS = ("default", "edge_connect", "mat", "lama", "aot")  # of evaluation/protocols.py, which is slow to import


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    model_argument.add_model(parser, "--workdir", dest="workdir")
    add("--data", metavar="DIR|NAME", help="test photographs: a folder or a named source; default: those of the run")
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

    from mai_jax.evaluation import eval_target, protocols
    from mai_jax.evaluation.classical import METHODS
    from mai_jax.evaluation.evaluator import MetricSet
    from mai_jax.evaluation.report import result_files
    from mai_jax.inference import model_registry
    from mai_jax.nn import inception

    app.enable_compilation_cache()
    params = lpips_flags.load(given)
    fid_params = inception.load(given.fid_weights) if given.fid_weights else None
    if given.workdir in CLASSICAL:
        target = eval_target.classical(given.workdir, given.data, given.holes)
    elif given.workdir is not None:
        target = eval_target.checkpoint(model_registry.find(given.workdir), given.step, given.data, given.holes)
    else:
        target = eval_target.folders(*folders, given.mask_means, given.mask_threshold)
    target = target._replace(name=given.name or target.name)
    rows = METHODS if given.classical else {"mean_colour": METHODS["mean_colour"]}
    metric_set = MetricSet(protocols.PROTOCOLS[given.protocol], params)
    output = given.output or _folder(given, target.stamp.get("step"), target.name)
    result_files.write(target, Path(output), given.protocol, metric_set, rows,
                       [Path(folder) for folder in given.against], fid_params=fid_params, with_page=given.report,
                       replace_others=given.output is not None)


def _folder(given: argparse.Namespace, step: int | None, name: str) -> Path:
    """Return the folder of the results: the step or the files, and every flag that changes a number or adds a row."""
    from mai_jax.evaluation.report import result_files
    from mai_jax.inference import model_registry
    from mai_jax.training import packed_model

    def short(value: str) -> str:
        return re.sub(r"[^\w.]+", "_", Path(value).resolve().name) or "root"

    model = given.workdir
    has_name = model in CLASSICAL or model in model_registry.PUBLIC
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
