"""Photographs per second of the input pipeline, against a bare loop of decoding, resizing and cropping.

python -m benchmarks.input_pipeline --photos=DIR

Both prepare the same photographs as the paper for Places2 (shorter side 350, random crop of 256), alternately in one
process, with the same number of threads. Quote the ratio of the medians.
"""

import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np

from benchmarks import records
from mai_jax.cli import app
from mai_jax.cli.arguments import Parser
from mai_jax.config import Config, Data, Run
from mai_jax.data import images, pipeline, sources

BATCH, BATCHES, ROUNDS = 8, 40, 5


def bare(config: Config, threads: int) -> Callable[[], None]:
    paths = [path for path in sorted(Path(config.data.train).rglob("*")) if path.suffix in (".jpg", ".png")]
    rng = np.random.default_rng(0)

    def prepare(path: Path) -> np.ndarray:
        image = images.decode(path.read_bytes(), path.name, draft=2 * config.data.shorter_side)
        return images.resize_crop(image, config.image_size, config.data.shorter_side, tuple(rng.uniform(size=2)))

    def run() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(prepare, [paths[i] for i in rng.integers(len(paths), size=BATCH * BATCHES)]))

    return run


def pipelined(config: Config) -> Callable[[], None]:
    source = sources.open_source(config.data, "train")

    def run() -> None:
        # Start at another position of the stream in each round.
        with closing(pipeline.train_batches(source, config, start=int(time.time()) % 10_000)) as batches:
            for _ in range(BATCHES):
                next(batches)

    return run


def main() -> None:
    parser = Parser(prog="python -m benchmarks.input_pipeline", description=__doc__)
    parser.add_argument("--photos", metavar="DIR", required=True, help="folder of photographs")
    photos, figures = parser.parse().photos, {}
    for threads in (1, 2):
        config = Config(batch_size=BATCH, data=Data(train=photos, test=photos),
                        run=Run(read_threads=threads))
        programs = {"bare": bare(config, threads), "pipeline": pipelined(config)}
        seconds = {name: [] for name in programs}
        for _ in range(ROUNDS):
            for name, program in programs.items():
                begin = time.perf_counter()
                program()
                seconds[name].append(time.perf_counter() - begin)
        rate = {name: BATCH * BATCHES / statistics.median(times) for name, times in seconds.items()}
        share = rate["pipeline"] / rate["bare"]
        print(f"{threads} threads: bare {rate['bare']:.0f}, pipeline {rate['pipeline']:.0f} images/s: {share:.0%}")
        figures[f"{threads} threads"] = {f"{name}_images_per_s": round(value, 1) for name, value in rate.items()} | {
            "share": round(share, 3)}
    records.append("input_pipeline", figures)


if __name__ == "__main__":
    sys.exit(app.run(main))
