"""What an evaluation leaves behind: a record per photograph and hole, the table by ratio bin, and a picture."""

import dataclasses
import io
import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np

from mai_jax.data import sources
from mai_jax.evaluation import table4
from mai_jax.evaluation.runner import Example, evaluate
from mai_jax.files import write_whole
from mai_jax.inference import Inpainter
from mai_jax.types import Batch
from mai_jax.visualize import show_hole, side_by_side

log = logging.getLogger(__name__)

ROWS = 6  # of the picture


def write(workdir: Path, *, step: int | None = None, data: str | None = None) -> None:
    """Evaluates a checkpoint of `workdir`; writes records.jsonl, table4.md, evaluation.png there; says the table.

    `data` names other test photographs than those of the run. Raises InputError; nothing is written before the end.
    """
    inpainter = Inpainter.from_checkpoint(workdir, step)
    config = inpainter.config
    chosen = config.data if data is None else dataclasses.replace(config.data, test=data)
    source = sources.open_source(chosen, "test")
    log.info("%s, step %d, on %s", workdir, inpainter.step, source)

    records, shown = [], []
    holes = len(source) * (len(config.evaluation.edges) - 1)
    rows = set(np.linspace(0, holes - 1, min(ROWS, holes)).round().astype(int))
    for i, example in enumerate(evaluate(inpainter, source)):
        records.append(example.record)
        if i in rows:
            shown.append(example)

    table = table4.table(records, config.evaluation.edges, config.method.upper())
    files = {
        "evaluation.png": _picture(shown),
        "table4.md": table4.markdown(table).encode(),
        "records.jsonl": "".join(json.dumps(_strict(record)) + "\n" for record in records).encode(),
    }
    for name, content in files.items():
        write_whole(workdir / name, content)
    log.info("\n%s\nwritten to %s: %s", table4.text(table), workdir, ", ".join(files))


def _strict(value: Any) -> Any:
    """JSON has no infinity: the PSNR of an exact copy is written as "inf"."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _picture(examples: list[Example]) -> bytes:
    image = np.stack([e.image for e in examples]).astype(np.float32) / 255
    known = 1 - np.stack([e.hole[..., None] for e in examples]).astype(np.float32)
    painted = np.stack([e.painted for e in examples]).astype(np.float32) / 255
    columns = {"input": np.asarray(show_hole(Batch(image, known))), "result": painted, "truth": image}
    captions = [f"{e.record['id']}\n{e.record['hole_ratio']:.0%} hole\n{e.record['psnr']:.2f} dB" for e in examples]
    png = io.BytesIO()
    side_by_side(columns, captions).save(png, "png")
    return png.getvalue()
