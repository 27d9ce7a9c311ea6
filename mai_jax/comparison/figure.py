"""What the methods painted, side by side."""

import io
from collections.abc import Sequence

import numpy as np

from mai_jax.evaluation import runner
from mai_jax.evaluation.protocols import Protocol
from mai_jax.evaluation.runner import Record
from mai_jax.evaluation.subject import Subject
from mai_jax.types import Batch
from mai_jax.visualize import show_hole, side_by_side

ROWS = 6


def draw(subjects: Sequence[Subject], protocol: Protocol, records: Sequence[Record]) -> bytes:
    """A PNG: rows = photographs, columns = input, each method, truth. `records` are those of the subjects' pairs.

    The rows lie at even distances among the larger half of the holes: in the smaller ones there is little to see.
    """
    ratios = [record["hole_ratio"] for record in records]
    large = [i for i, ratio in enumerate(ratios) if ratio >= np.median(ratios)]
    chosen = [large[i] for i in np.linspace(0, len(large) - 1, min(ROWS, len(large))).round().astype(int)]
    pairs = [subjects[0].pairs[i] for i in chosen]
    truth = np.stack([pair.truth for pair in pairs])
    known = 1 - np.stack([pair.hole[..., None] for pair in pairs]).astype(np.float32)
    columns = {"input": np.asarray(show_hole(Batch(truth.astype(np.float32) / 255, known)))}
    for subject in subjects:
        # In batches of the size that was measured, for which the program is compiled.
        painted = np.concatenate(list(runner.completed(pairs, protocol, subject.paint, subject.batch_size)))
        columns[subject.name] = painted.astype(np.float32) / 255
    columns["truth"] = truth.astype(np.float32) / 255
    png = io.BytesIO()
    side_by_side(columns, [f"{pair.id}\n{pair.hole.mean():.0%} hole" for pair in pairs]).save(png, "png")
    return png.getvalue()
