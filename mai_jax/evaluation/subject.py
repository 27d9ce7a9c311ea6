"""Who is measured on what: a checkpoint of ours, or the files of any program."""

import dataclasses
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import jax

import mai_jax
from mai_jax.config import Config
from mai_jax.data import sources
from mai_jax.evaluation.holes import manifest as manifest_lib
from mai_jax.evaluation.pairs import FolderPairs, Pairs, PhotographPairs
from mai_jax.evaluation.runner import Paint
from mai_jax.inference import Inpainter
from mai_jax.models import TITLES


class Subject(NamedTuple):
    """`stamp` is what every result of it carries; `edges` are those of its ratio bins; `draws` is how often `paint`
    paints each hole.
    """

    name: str
    dataset: str
    pairs: Pairs
    paint: Paint | None
    edges: tuple[float, ...]
    batch_size: int
    stamp: dict[str, Any]
    draws: int = 1

    @property
    def row(self) -> str:
        """The name of its numbers: means over the draws."""
        return self.name if self.draws == 1 else f"{self.name}, mean of {self.draws}"

    @property
    def best_row(self) -> str:
        """The name of the numbers of the best draw of each hole."""
        return f"{self.name}, best of {self.draws} by the truth"


def checkpoint(
    workdir: Path, step: int | None = None, data: str | None = None, holes: str | None = None,
    devices: list[jax.Device] | None = None,
) -> Subject:  # fmt: skip
    """The newest checkpoint of `workdir`, or that of `step`, on the run's test photographs or those of `data`, with the
    holes of its config or those of the manifest `holes`. Raises InputError.
    """
    inpainter = Inpainter.from_checkpoint(workdir, step, devices)
    config = inpainter.config
    source = sources.open_source(config.data if data is None else dataclasses.replace(config.data, test=data), "test")
    manifest = manifest_lib.load(holes) if holes else None
    edges = tuple(manifest.header.edges) if manifest else config.evaluation.edges
    stamp = {"step": inpainter.step, "photographs": repr(source), "image_size": config.image_size}
    dataset = Path(data or config.data.test or config.data.train).name
    return Subject(TITLES[config.method], dataset, PhotographPairs(source, config, manifest), inpainter.samples, edges,
                   config.evaluation.batch_size, _stamp(stamp, manifest), inpainter.draws)


def folders(painted: str, truth: str, masks: str, mask_means: str) -> Subject:
    """The files that any program wrote, paired by name with truths and masks; their folder names the method.

    Raises InputError.
    """
    default = Config().evaluation
    name, dataset = Path(painted).resolve().name, Path(truth).resolve().name
    pairs = FolderPairs(painted, truth, masks, mask_means)
    return Subject(name, dataset, pairs, None, default.edges, default.batch_size, _stamp({"files": name}, None))


def _stamp(own: dict[str, Any], manifest: manifest_lib.Manifest | None) -> dict[str, Any]:
    listed = {"holes_sha256": manifest.sha256} if manifest else {}
    return {"mai_jax": code_version(), **own, **listed}


def code_version() -> str:
    """The package's version and, in a git checkout, the commit, with "+changes" if files differ from it."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        commit = git("rev-parse", "--short=12", "HEAD")
        changed = "+changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    except (OSError, subprocess.CalledProcessError):
        return mai_jax.__version__
    return f"{mai_jax.__version__} ({commit}{changed})"
