"""Telea and Navier-Stokes on the very pairs that the methods were measured on, as evaluations beside theirs."""

from pathlib import Path
from typing import NamedTuple

from mai_jax.comparison.run import PROTOCOL
from mai_jax.config import Config
from mai_jax.data import sources
from mai_jax.evaluation import report
from mai_jax.evaluation.classical import METHODS, Fill, fill_many
from mai_jax.evaluation.pairs import PhotographPairs
from mai_jax.evaluation.protocols import PROTOCOLS
from mai_jax.evaluation.runner import Draws, Holes, Judge, Truths
from mai_jax.evaluation.subject import Subject, code_version

TITLES = {"telea": "Telea", "navier_stokes": "Navier-Stokes"}


class Painting(NamedTuple):
    """A filling in the place of a network."""

    fill: Fill

    def __call__(self, truth: Truths, hole: Holes) -> Draws:
        return fill_many(self.fill, truth, hole)[None]


def measure(config: Config, workdir: Path) -> None:
    """Writes an evaluation into the folders of `workdir` that bear the names in TITLES, where there is none yet.

    Raises InputError, without OpenCV too.
    """
    judge = Judge(PROTOCOLS[PROTOCOL])
    for name, title in TITLES.items():
        if (workdir / name / report.RESULT).is_file():
            continue
        source = sources.open_source(config.data, "test")
        stamp = {"mai_jax": code_version(), "photographs": repr(source), "image_size": config.image_size}
        filled = Subject(title, "", PhotographPairs(source, config), Painting(METHODS[name]), config.evaluation.edges,
                         config.evaluation.batch_size, stamp)
        report.write(filled, workdir / name, PROTOCOL, judge, {})
