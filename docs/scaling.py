"""Writes docs/scaling.md: what a training step costs on TPUs, from 4 to 256 chips.

`python docs/scaling.py`, with `pip install '.[aot]'`

It compiles what docs/scaling.json does not hold yet, half a minute to some minutes each; delete that file to do all of
it again.
"""

import dataclasses
import importlib.metadata
import importlib.util
import json
import logging
from pathlib import Path

import jax

from mai_jax.config import Config
from mai_jax.training import aot, roofline
from mai_jax.training.roofline import CHIPS, Costs, Moved

HERE = Path(__file__).parent
STORE = HERE / "scaling.json"
SMALLEST = {"v5e": "v5e:2x2", "v5p": "v5p:2x2x1", "v6e": "v6e:2x2"}
BATCH = {256: 16, 512: 4}  # images per chip: as many pixels at either size
VARIED = "v5e"  # the chip for which the size and rematerialisation vary too: what they change, they change on all
CHECKED = ("v5e:16x16", 256, False)  # compiled on 256 chips too, to see that a chip's program stays the same
CHIP_COUNTS = (4, 16, 64, 256)

INTRODUCTION = """\
# What a training step costs on TPUs

Made by `python docs/scaling.py` without a TPU: the step of `configs/places2.py` (MAI, Tables 1-3, drawn holes, both
players) in {dtype}, compiled for a described slice. `python -m mai_jax.training.aot` does the same for any config and
topology, and finds the largest batch that fits. Compilers: {versions}.
How far bytes differ between the chips, and how far between the compilers, has not been told apart.

Times are rooflines, lower bounds: products over the peak of the matrix units, bytes between HBM and chip over its rate,
bytes of the all-reduces over that of the links, each operand read once, everything overlapped. A loop's body counts as
often as it runs. No time here was measured on a chip.
"""

GROWTH = """\
## From 4 to 256 chips

The batch per chip stays, and so does the program of each chip. Compiled for {chips}, not for {small}:
{change}.

Gradients and BatchNorm statistics are summed over all chips, {reduced:.0f} MB a step. Round a ring each chip sends
2 (n - 1) / n of that, so the price of the sum approaches a constant; parameters are replicated. 256 px, without
rematerialisation. "of linear" is what is left of n times the images if nothing of the sum hides behind the backward
pass; the other columns hide all of it.
"""


def main() -> None:
    jax.config.update("jax_platforms", "cpu")
    logging.getLogger("mai_jax.nn.vgg").setLevel(logging.ERROR)
    wanted = [(SMALLEST[VARIED], size, remat) for size in BATCH for remat in (False, True)]
    wanted += [(topology, 256, False) for chip, topology in SMALLEST.items() if chip != VARIED]
    records = [record(*case) for case in (*wanted, CHECKED)]
    *shown, check = records
    compilers = [f"{chip} by libtpu {r['libtpu']}" for chip, r in {r["chip"]: r for r in shown}.items()]
    versions = f"jax {importlib.metadata.version('jax')}; {', '.join(compilers)}"
    text = [INTRODUCTION.format(versions=versions, dtype=config(256, remat=False).dtype), bounds(shown)]
    text.append(growth([r for r in shown if r["size"] == 256 and not r["remat"]], check))
    (HERE / "scaling.md").write_text("\n".join(text))


def config(size: int, *, remat: bool) -> Config:
    spec = importlib.util.spec_from_file_location("places2", HERE.parent / "configs" / "places2.py")
    places2 = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(places2)
    return dataclasses.replace(places2.get_config(), image_size=size, remat=remat, dtype="bfloat16")


def record(topology: str, size: int, remat: bool) -> dict:
    """The plan as JSON, from the store or compiled."""
    store = json.loads(STORE.read_text()) if STORE.exists() else {}
    name = f"{topology} {size} px{' remat' if remat else ''}"
    if name not in store:
        print(f"compiling {name}", flush=True)
        plan = aot.plan(config(size, remat=remat), aot.describe(topology), BATCH[size])
        found = None if plan is None else {"peak": plan.memory.peak, **plan.costs._asdict()}
        store[name] = {"chip": topology.partition(":")[0], "size": size, "remat": remat, "found": found,
                       "libtpu": importlib.metadata.version("libtpu")}
        STORE.write_text(json.dumps(store, indent=1) + "\n")
    return store[name]


def costs(found: dict) -> Costs:
    moved = {kind: Moved(*values) for kind, values in found["collectives"].items()}
    return Costs(found["flops"], found["hbm_bytes"], moved)


def bounds(records: list[dict]) -> str:
    """One row per chip, size and rematerialisation, on 4 chips."""
    rows = ["| chip | px | images per chip | remat | peak memory | GFLOP per image | MB of HBM per image "
            "| matrix units, ms | HBM, ms | ICI, ms | bound by | images/s per chip |", "|---" * 12 + "|"]
    for r in records:
        chip, batch, found = CHIPS[r["chip"]], BATCH[r["size"]], r["found"]
        row = [r["chip"], r["size"], batch, "yes" if r["remat"] else "no"]
        if found is None:
            rows.append(f"| {' | '.join(map(str, row))} | does not fit{' | ' * 7} |")
            continue
        times = roofline.times(costs(found), chip, 4)
        row += [f"{found['peak'] / 1e9:.1f} GB, {found['peak'] / chip.hbm:.0%}", f"{found['flops'] / batch / 1e9:.0f}",
                f"{found['hbm_bytes'] / batch / 1e6:.0f}", *(f"{1e3 * t:.2f}" for t in times), times.bound,
                f"{batch / max(times):.0f}"]
        rows.append(f"| {' | '.join(map(str, row))} |")
    return "## What bounds a step\n\n" + "\n".join(rows) + "\n"


def growth(records: list[dict], check: dict) -> str:
    """One row per chip and number of chips."""
    rows = ["| chip | chips | images a step | all-reduce, ms | step, ms | images/s | of linear |", "|---" * 7 + "|"]
    for r in (r for r in records if r["found"]):
        for chips in CHIP_COUNTS:
            times = roofline.times(costs(r["found"]), CHIPS[r["chip"]], chips)
            alone = max(roofline.times(costs(r["found"]), CHIPS[r["chip"]], 1))
            rows.append(f"| {r['chip']} | {chips} | {chips * BATCH[256]} | {1e3 * times.ici:.2f} "
                        f"| {1e3 * max(times):.2f} | {chips * BATCH[256] / max(times):,.0f} "
                        f"| {alone / (max(times.matrix_units, times.hbm) + times.ici):.0%} |")
    small = next(r["found"] for r in records if r["chip"] == check["chip"])
    differences = {name: check["found"][name] / small[name] - 1 for name in ("flops", "hbm_bytes", "peak")}
    said = ", ".join(f"{name.replace('_', ' ')} {change:+.1%}" for name, change in differences.items())
    reduced = small["collectives"]["all-reduce"][1] / 1e6
    text = GROWTH.format(chips=CHECKED[0], small=SMALLEST[check["chip"]], change=said, reduced=reduced)
    return f"{text}\n" + "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
