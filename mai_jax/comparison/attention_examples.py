"""From where MAI took what it painted, on two of the test photographs."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from mai_jax.config import Config
from mai_jax.data import sources
from mai_jax.evaluation.pairs import PhotographPairs
from mai_jax.evaluation.runner import Record
from mai_jax.inference import Inpainter, attention_map, provenance
from mai_jax.inference.inpainter import MAX_RATIO

HOW_MANY = 2
CHOICE = "the largest holes that the network is shown at full size, of two photographs"


class Example(NamedTuple):
    record: Record
    figure: Image.Image


def examples(workdir: Path, config: Config, records: Sequence[Record]) -> Iterator[Example]:
    """One for each of the photographs chosen, by the newest checkpoint in `workdir`; `records` are those of its pairs.

    Raises InputError.
    """
    inpainter = Inpainter.from_checkpoint(workdir)
    pairs = PhotographPairs(sources.open_source(config.data, "test"), config)
    for i in chosen(records):
        pair = pairs[i]
        traces = provenance.trace(inpainter, pair.truth, pair.hole)
        filled = inpainter(pair.truth, pair.hole)
        yield Example(records[i], attention_map.figure(pair.truth, filled, pair.hole, traces))


def chosen(records: Sequence[Record]) -> list[int]:
    """See CHOICE."""
    places: dict[str, int] = {}
    for i in sorted(range(len(records)), key=lambda i: (-records[i]["hole_ratio"], records[i]["id"])):
        if records[i]["hole_ratio"] <= MAX_RATIO:
            places.setdefault(records[i]["id"], i)
    return list(places.values())[:HOW_MANY]
