"""The part of docs/scaling.md about GPUs: what the training step launches and moves. See tools/scaling.py."""

import importlib.metadata

from mai_jax.config import Config
from tools import aot, roofline
from tools.roofline import Costs, Moved

CASES = (("h100:1x1x1", 6), ("h100:1x1x8", 6), ("h100:1x1x1", 64))  # topology, images per GPU
DETAILED = CASES[0]
KINDS = ("convolutions", "matrix products", "reductions", "elementwise", "transposes", "copies")

INTRODUCTION = """\
## GPUs

`python -m tools.aot --config=configs/places2.py --config.dtype=bfloat16 --topology=h100:1x1x1` compiles the same step
for a described GPU (`a100` likewise; `1x1x8` is eight GPUs joined by NVLink). Compiler: {versions}.
This program has not been run on a GPU, and cuDNN's algorithms are not chosen without one: memory excludes their
workspace, and times are the roofline's. Bytes count every array that a kernel reads or writes, also where the L2 cache
would hold it; kernels include copies and collectives. XLA may combine several launches into a CUDA graph at run time.
On an A100, XLA computes float32 convolutions channels first, in bfloat16 channels last.
"""

PARTS = """\
Kernels and bytes by part of the step, {topology}, batch {batch}. Of the {convolutions} convolutions,
{layouts}. Most of the copies are of parameters and moments: XLA
updates them in the layout of the convolutions' gradients, which is not theirs. Their bytes do not grow with the batch.
"""


def record(config: Config, topology: str, batch: int) -> dict:
    """Return the plan for `batch` images per GPU as JSON, compiled now."""
    plan = aot.plan(config, aot.describe(topology), batch)
    assert plan is not None and plan.kernels is not None  # all cases fit
    convolutions = [[*key, *found] for key, found in plan.kernels.convolutions.items()]
    return {"chip": topology.partition(":")[0], "batch": batch, "devices": len(plan.topology.devices),
            "peak": plan.memory.peak, **plan.costs._asdict(), "by_kind": dict(plan.kernels.by_kind),
            "convolutions": convolutions, "parts": plan.parts,
            "versions": {name: importlib.metadata.version(name) for name in ("jax", "jax-cuda13-plugin")}}  # fmt: skip


def section(records: list[dict]) -> str:
    """Return the section of the page, for the records of `CASES`."""
    versions = ", ".join(f"{name} {version}" for name, version in records[0]["versions"].items())
    rows = ["| GPU | GPUs | images per GPU | memory | kernels per step | GFLOP per image | MB of HBM per image "
            "| matrix units, ms | HBM, ms | links, ms | bound by | images/s per GPU |", "|---" * 12 + "|"]  # fmt: skip
    rows += [f"| {' | '.join(_row(r))} |" for r in records]
    return "\n".join([INTRODUCTION.format(versions=versions), *rows, "", _parts(records[CASES.index(DETAILED)])])


def times(record: dict) -> roofline.Times:
    """Return the roofline times of a record."""
    moved = {kind: Moved(*values) for kind, values in record["collectives"].items()}
    costs = Costs(record["flops"], record["hbm_bytes"], moved)
    return roofline.times(costs, roofline.CHIPS[record["chip"]], record["devices"])


def _row(record: dict) -> list[str]:
    found, batch = times(record), record["batch"]
    return [record["chip"], str(record["devices"]), str(batch), f"{record['peak'] / 1e9:.1f} GB",
            f"{sum(record['by_kind'].values()):,}", f"{record['flops'] / batch / 1e9:.0f}",
            f"{record['hbm_bytes'] / batch / 1e6:,.0f}", *(f"{1e3 * t:.2f}" for t in found), found.bound,
            f"{batch / max(found):,.0f}"]  # fmt: skip


def _parts(record: dict) -> str:
    """Return the table of the parts of a step, and the number of kernels by kind."""
    found = record["convolutions"]
    layouts = ", ".join(f"{count} are {dtype}, {layout}" for dtype, layout, count, *_ in found)
    text = PARTS.format(topology=DETAILED[0], batch=DETAILED[1], layouts=layouts,
                        convolutions=sum(count for _, _, count, *_ in found))
    rows = ["| part | kernels | MB |", "|---" * 3 + "|"]
    rows += [f"| {name} | {count} | {size / 1e6:,.0f} |" for name, (count, size) in record["parts"].items()]
    total = sum(count for count, _ in record["parts"].values())
    rows += [f"| all | {total:,} | {record['hbm_bytes'] / 1e6:,.0f} |", "",
             "Kernels by kind: " + ", ".join(f"{record['by_kind'].get(kind, 0)} {kind}" for kind in KINDS) + "."]
    return f"{text}\n" + "\n".join(rows) + "\n"
