"""Evaluations of the classical methods on the pairs on which the trained methods were evaluated."""

from pathlib import Path
from typing import Any, NamedTuple

from mai_jax.compare.compare import PROTOCOL
from mai_jax.config import Config
from mai_jax.data import sources
from mai_jax.evaluation.classical import METHODS, Fill, fill_many
from mai_jax.evaluation.dataset import ImageEvalDataset
from mai_jax.evaluation.eval_target import EvalTarget, code_version
from mai_jax.evaluation.evaluator import Holes, MetricSet, Samples, Truths
from mai_jax.evaluation.protocols import PROTOCOLS
from mai_jax.evaluation.report import result_files

TITLES = {"telea": "Telea", "navier_stokes": "Navier-Stokes", "biharmonic": "biharmonic"}


class ClassicalModel(NamedTuple):
    """A classical method with the signature of a network's prediction."""

    fill: Fill

    def __call__(self, truth: Truths, hole: Holes) -> Samples:
        return fill_many(self.fill, truth, hole)[None]


def evaluate(config: Config, workdir: Path, lpips_params: dict[str, Any] | None = None) -> None:
    """Write an evaluation of each method in TITLES into its subfolder of `workdir`, unless there is one already.

    With `lpips_params` (of `lpips.load` or `from_package`) it includes LPIPS. Raises InputError if OpenCV is missing or
    the test photographs cannot be read.
    """
    metric_set = MetricSet(PROTOCOLS[PROTOCOL], lpips_params)
    for name, title in TITLES.items():
        if (workdir / name / result_files.RESULT).is_file():
            continue
        source = sources.open_source(config.data, "test")
        stamp = {"mai_jax": code_version(), "photographs": repr(source), "image_size": config.image_size}
        target = EvalTarget(title, "", ImageEvalDataset(source, config), ClassicalModel(METHODS[name]),
                            config.evaluation.edges, config.evaluation.batch_size, stamp)
        result_files.write(target, workdir / name, PROTOCOL, metric_set, {})
