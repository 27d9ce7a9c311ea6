"""Attention maps of MAI on two test photographs."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from mai_jax.config import Config
from mai_jax.data import sources
from mai_jax.evaluation.dataset import ImageEvalDataset
from mai_jax.evaluation.evaluator import Record
from mai_jax.inference import Inpainter, attention_maps, provenance
from mai_jax.inference.inpainter import MAX_RATIO

COUNT = 2
CHOICE = "of two photographs, the largest hole that the network processes at full size"


class Example(NamedTuple):
    """An attention figure and the record of its pair."""

    record: Record
    figure: Image.Image


def examples(workdir: Path, config: Config, records: Sequence[Record]) -> Iterator[Example]:
    """Yield one example for each selected photograph, by the newest checkpoint in `workdir`.

    `records` are those of the test pairs of `config`. Raises InputError if the checkpoint or the photographs cannot be
    read.
    """
    inpainter = Inpainter.from_checkpoint(workdir)
    pairs = ImageEvalDataset(sources.open_source(config.data, "test"), config)
    for i in selected_indices(records):
        pair = pairs[i]
        traces = provenance.trace(inpainter, pair.truth, pair.hole)
        filled = inpainter(pair.truth, pair.hole)
        yield Example(records[i], attention_maps.figure(pair.truth, filled, pair.hole, traces))


def selected_indices(records: Sequence[Record]) -> list[int]:
    """Return the indices of the records selected by the rule CHOICE."""
    by_photograph: dict[str, int] = {}
    for i in sorted(range(len(records)), key=lambda i: (-records[i]["hole_ratio"], records[i]["id"])):
        if records[i]["hole_ratio"] <= MAX_RATIO:
            by_photograph.setdefault(records[i]["id"], i)
    return list(by_photograph.values())[:COUNT]
