"""Write docs/scaling.md: the cost of a training step on TPUs, from 4 to 256 chips, and on GPUs.

python -m tools.scaling    (needs pip install '.[aot,aot-gpu]')

Compiles the cases that docs/scaling.json does not contain yet, half a minute to some minutes each. Delete that file to
compile all cases again.
"""

import dataclasses
import importlib.metadata
import importlib.util
import json
import logging
from collections.abc import Callable
from pathlib import Path

import jax

from mai_jax.config import Config
from tools import aot, roofline, scaling_gpus
from tools.roofline import CHIPS, Costs, Moved

DOCS = Path(__file__).parents[1] / "docs"
STORE = DOCS / "scaling.json"
SMALLEST = {"v5e": "v5e:2x2", "v5p": "v5p:2x2x1", "v6e": "v6e:2x2"}
BATCH = {256: 16, 512: 4}  # images per chip: equal numbers of pixels at both sizes
VARIED = "v5e"  # the chip for which size and rematerialisation are varied: their effect is similar on all chips
CHECKED = ("v5e:16x16", 256, False)  # also compiled for 256 chips, to check that the program per chip is the same
CHIP_COUNTS = (4, 16, 64, 256)

INTRODUCTION = """\
# Cost of a training step on TPUs and GPUs

Written by `python -m tools.scaling` without a TPU: the step of `configs/places2.py` (MAI, Tables 1-3, random strokes,
both networks) in {dtype}, compiled ahead of time for a TPU topology. `python -m tools.aot` does the same for any config
and topology, and finds the largest batch that fits. Compilers: {versions}.
Differences in bytes between the chips are not separated from differences between the compilers.

Times are lower bounds by the roofline model: FLOPs divided by the peak of the matrix units, bytes between HBM and chip
by the memory bandwidth, bytes of the all-reduces by the bandwidth of the links, with each operand read once and
everything overlapped. The body of a loop counts once per iteration. No time was measured on a chip.
"""

TRAFFIC = """\
## Traffic by part

Bytes to and from HBM by part of the step on a v5e, without rematerialisation. An operation that XLA fused from several
parts counts for the part with most of its instructions. The rows of v5p and v6e above were compiled earlier, when
attention was not one kernel (performance.md) and masks were summed by convolutions.

"""

GROWTH = """\
## From 4 to 256 chips

The batch per chip is constant, and so is the program of each chip. Differences between compilations for {chips} and
{small}: {change}.

Gradients and BatchNorm statistics are summed over all chips, {reduced:.0f} MB per step. In a ring all-reduce each chip
sends 2 (n - 1) / n of that, so its time approaches a constant; parameters are replicated. 256 px, without
rematerialisation. "of linear" is the scaling efficiency if the all-reduce does not overlap with the backward pass; the
other columns assume complete overlap.
"""


def main() -> None:
    """Run the command."""
    jax.config.update("jax_platforms", "cpu")
    logging.getLogger("mai_jax.nn.vgg").setLevel(logging.ERROR)
    cases = [(SMALLEST[VARIED], size, remat) for size in BATCH for remat in (False, True)]
    cases += [(topology, 256, False) for chip, topology in SMALLEST.items() if chip != VARIED]
    records = [record(*case) for case in (*cases, CHECKED)]
    *shown, check = records
    compilers = [f"{chip} by libtpu {r['libtpu']}" for chip, r in {r["chip"]: r for r in shown}.items()]
    versions = f"jax {importlib.metadata.version('jax')}; {', '.join(compilers)}"
    text = [INTRODUCTION.format(versions=versions, dtype=config(256, remat=False).dtype), bounds(shown)]
    plain = [r for r in shown if r["chip"] == VARIED and not r["remat"] and "parts" in r["found"]]
    text.append(TRAFFIC + "\n".join(parts_table(r["size"], r["found"]) for r in plain))
    text.append(growth([r for r in shown if r["size"] == 256 and not r["remat"]], check))
    text.append(scaling_gpus.section([gpu_record(*case) for case in scaling_gpus.CASES]))
    (DOCS / "scaling.md").write_text("\n".join(text))


def config(size: int, *, remat: bool) -> Config:
    """Return the config of places2 for an image size, in bfloat16."""
    spec = importlib.util.spec_from_file_location("places2", DOCS.parent / "configs" / "places2.py")
    places2 = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(places2)
    return dataclasses.replace(places2.get_config(), image_size=size, remat=remat, dtype="bfloat16")


def record(topology: str, size: int, remat: bool) -> dict:
    """Return the plan for a TPU topology as JSON, from docs/scaling.json or compiled."""

    def compiled() -> dict:
        plan = aot.plan(config(size, remat=remat), aot.describe(topology), BATCH[size])
        costs = None if plan is None else {"peak": plan.memory.peak, **plan.costs._asdict(), "parts": plan.parts}
        return {"chip": topology.partition(":")[0], "size": size, "remat": remat, "found": costs,
                "libtpu": importlib.metadata.version("libtpu")}

    return stored(f"{topology} {size} px{' remat' if remat else ''}", compiled)


def gpu_record(topology: str, batch: int) -> dict:
    """Return the plan for GPUs as JSON, from docs/scaling.json or compiled."""
    return stored(f"{topology} 256 px batch {batch}",
                  lambda: scaling_gpus.record(config(256, remat=False), topology, batch))


def stored(name: str, compile_case: Callable[[], dict]) -> dict:
    """Return the record of a name in docs/scaling.json. Compiles the case if there is none."""
    store = json.loads(STORE.read_text()) if STORE.exists() else {}
    if name not in store:
        print(f"compiling {name}", flush=True)
        store[name] = compile_case()
        STORE.write_text(json.dumps(store, indent=1) + "\n")
    return store[name]


def costs_from_json(content: dict) -> Costs:
    """Return the costs in a record."""
    moved = {kind: Moved(*values) for kind, values in content["collectives"].items()}
    return Costs(content["flops"], content["hbm_bytes"], moved)


def bounds(records: list[dict]) -> str:
    """Return the table for 4 chips: one row per kind of chip, image size and rematerialisation."""
    rows = ["| chip | px | images per chip | remat | peak memory | GFLOP per image | MB of HBM per image "
            "| matrix units, ms | HBM, ms | links, ms | bound by | images/s per chip |", "|---" * 12 + "|"]
    for r in records:
        chip, batch, found = CHIPS[r["chip"]], BATCH[r["size"]], r["found"]
        row = [r["chip"], r["size"], batch, "yes" if r["remat"] else "no"]
        if found is None:
            rows.append(f"| {' | '.join(map(str, row))} | does not fit{' | ' * 7} |")
            continue
        times = roofline.times(costs_from_json(found), chip, 4)
        row += [f"{found['peak'] / 1e9:.1f} GB, {found['peak'] / chip.hbm:.0%}", f"{found['flops'] / batch / 1e9:.0f}",
                f"{found['hbm_bytes'] / batch / 1e6:.0f}", *(f"{1e3 * t:.2f}" for t in times), times.bound,
                f"{batch / max(times):.0f}"]
        rows.append(f"| {' | '.join(map(str, row))} |")
    return "## Bottleneck of a step\n\n" + "\n".join(rows) + "\n"


def parts_table(size: int, found: dict) -> str:
    """Return the table of bytes by part of the step, for one image size."""
    rows = [f"| part, {size} px | operations | MB per image | share |", "|---" * 4 + "|"]
    rows += [f"| {name} | {count:,} | {moved / BATCH[size] / 1e6:,.1f} | {moved / found['hbm_bytes']:.1%} |"
             for name, (count, moved) in found["parts"].items()]  # fmt: skip
    return "\n".join(rows) + "\n"


def growth(records: list[dict], check: dict) -> str:
    """Return the table of scaling: one row per kind and number of chips."""
    rows = ["| chip | chips | images per step | all-reduce, ms | step, ms | images/s | of linear |", "|---" * 7 + "|"]
    for r in (r for r in records if r["found"]):
        for chips in CHIP_COUNTS:
            costs = costs_from_json(r["found"])
            times = roofline.times(costs, CHIPS[r["chip"]], chips)
            single = max(roofline.times(costs, CHIPS[r["chip"]], 1))
            rows.append(f"| {r['chip']} | {chips} | {chips * BATCH[256]} | {1e3 * times.links:.2f} "
                        f"| {1e3 * max(times):.2f} | {chips * BATCH[256] / max(times):,.0f} "
                        f"| {single / (max(times.matrix_units, times.hbm) + times.links):.0%} |")
    small = next(r["found"] for r in records if r["chip"] == check["chip"])
    differences = {name: check["found"][name] / small[name] - 1 for name in ("flops", "hbm_bytes", "peak")}
    change = ", ".join(f"{name.replace('_', ' ')} {value:+.1%}" for name, value in differences.items())
    reduced = small["collectives"]["all-reduce"][1] / 1e6
    text = GROWTH.format(chips=CHECKED[0], small=SMALLEST[check["chip"]], change=change, reduced=reduced)
    return f"{text}\n" + "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
