"""What is evaluated: a checkpoint on a dataset, or the files that any program wrote."""

import dataclasses
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, UInt8

import mai_jax
from mai_jax.config import Config
from mai_jax.data import sources
from mai_jax.evaluation.classical import METHODS, fill_many
from mai_jax.evaluation.dataset import EvalDataset, FolderEvalDataset, ImageEvalDataset
from mai_jax.evaluation.evaluator import Predict, Samples
from mai_jax.evaluation.mask_benchmark import manifest as manifest_lib
from mai_jax.inference import Inpainter
from mai_jax.models import title
from mai_jax.training import continuation
from mai_jax.training.packed_model import open_reader


class EvalTarget(NamedTuple):
    """A method and the pairs that it is evaluated on.

    `predict` is None if the pairs have predictions. `edges` are those of the hole ratio bins. `stamp` is the provenance
    that result.json records. `num_samples` is the number of predictions per hole, above 1 for a stochastic model.
    """

    name: str
    dataset_name: str
    dataset: EvalDataset
    predict: Predict | None
    edges: tuple[float, ...]
    batch_size: int
    stamp: dict[str, Any]
    num_samples: int = 1

    @property
    def row(self) -> str:
        """Return the table row of the means over all samples."""
        return self.name if self.num_samples == 1 else f"{self.name}, mean of {self.num_samples}"

    @property
    def best_row(self) -> str:
        """Return the table row of the best sample of each hole."""
        return f"{self.name}, best of {self.num_samples} by the truth"


def checkpoint(
    workdir: Path, step: int | None = None, data: str | None = None, holes: str | None = None,
    devices: list[jax.Device] | None = None,
) -> EvalTarget:  # fmt: skip
    """Return the newest checkpoint of `workdir`, or that of `step`, as a target.

    The images are those of `data`, by default the test images of the run; the holes are those of the manifest `holes`,
    by default those of its config. Raises InputError if the checkpoint, the images or the manifest cannot be used.
    """
    inpainter = Inpainter.from_checkpoint(workdir, step, devices)
    target = function(inpainter.predict_samples, inpainter.config, data, holes)
    stamp = {**target.stamp, "step": inpainter.step}
    if history := continuation.describe(open_reader(workdir, inpainter.step).history):
        stamp["history"] = history
    return target._replace(name=title(inpainter.config.method), stamp=stamp, num_samples=inpainter.num_samples)


def classical(method: str, data: str | None = None, holes: str | None = None) -> EvalTarget:
    """Return a key of `classical.METHODS` as a target, with the data of the default config if `data` is None.

    Raises InputError if the images or the manifest cannot be used.
    """

    def predict(images: UInt8[np.ndarray, "b h w 3"], holes: Bool[np.ndarray, "b h w"]) -> Samples:
        return fill_many(METHODS[method], images, holes)[None] / np.float32(255)

    return function(predict, Config(), data, holes)._replace(name=method)


def function(predict: Predict, config: Config, data: str | None = None, holes: str | None = None) -> EvalTarget:
    """Return any function that fills holes as a target, on the images and holes that `checkpoint` describes."""
    source = sources.open_source(config.data if data is None else dataclasses.replace(config.data, test=data), "test")
    manifest = manifest_lib.load(holes) if holes else None
    edges = tuple(manifest.header.edges) if manifest else config.evaluation.edges
    stamp = _stamp({"photographs": repr(source), "image_size": config.image_size}, manifest)
    dataset_name = Path(data or config.data.test or config.data.train).name
    dataset = ImageEvalDataset(source, config, manifest)
    return EvalTarget("prediction", dataset_name, dataset, predict, edges, config.evaluation.batch_size, stamp)


def folders(
    prediction: str, truth: str, masks: str, mask_means: str, mask_threshold: int | None = None
) -> EvalTarget:  # fmt: skip
    """Return the predictions that any program wrote, matched by name with truths and masks, as a target.

    `mask_means` and `mask_threshold` are those of `mask_reader.read`; doubts about the masks are logged. The method has
    the name of the folder `prediction`. Raises InputError if the files do not match, or no mask has a hole.
    """
    default = Config().evaluation
    name, dataset_name = Path(prediction).resolve().name, Path(truth).resolve().name
    dataset = FolderEvalDataset(prediction, truth, masks, mask_means, mask_threshold)
    dataset.check_masks()
    stamp = _stamp({"files": name}, None)
    return EvalTarget(name, dataset_name, dataset, None, default.edges, default.batch_size, stamp)


def _stamp(fields: dict[str, Any], manifest: manifest_lib.Manifest | None) -> dict[str, Any]:
    holes = {"holes_sha256": manifest.sha256} if manifest else {}
    return {"mai_jax": code_version(), **fields, **holes}


def code_version() -> str:
    """Return the package version and, in a git checkout, the commit, with "+changes" if tracked files differ.

    Only a repository that tracks this file counts: an installed copy may lie inside another repository, such as the
    user's own with a virtual environment in it, whose commit says nothing about this package.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "--", Path(__file__).name)
        commit = git("rev-parse", "--short=12", "HEAD")
        changed = "+changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    except (OSError, subprocess.CalledProcessError):
        return mai_jax.__version__
    return f"{mai_jax.__version__} ({commit}{changed})"
