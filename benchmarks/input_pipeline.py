"""Photographs per second that the input pipeline yields, against a bare loop of decode, resize and crop.

python -m benchmarks.input_pipeline --photos=DIR

Both prepare the same photographs for configs/places2.py (shorter side 350, random crop of 256), in one process, in
turn, on as many threads; the ratio of the medians is what to quote.
"""

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
from absl import flags

from benchmarks import records
from mai_jax import command
from mai_jax.config import Config, Data, Run
from mai_jax.data import images, pipeline, sources

PHOTOS = flags.DEFINE_string("photos", None, "A folder of photographs.", required=True)
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


def piped(config: Config) -> Callable[[], None]:
    source = sources.open_source(config.data, "train")

    def run() -> None:
        # At another place of the stream each time.
        with closing(pipeline.train_batches(source, config, start=int(time.time()) % 10_000)) as batches:
            for _ in range(BATCHES):
                next(batches)

    return run


def main() -> None:
    figures = {}
    for threads in (1, 2):
        config = Config(batch_size=BATCH, data=Data(train=PHOTOS.value, test=PHOTOS.value),
                        run=Run(read_threads=threads))
        ways = {"bare": bare(config, threads), "pipeline": piped(config)}
        seconds = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, way in ways.items():
                begin = time.perf_counter()
                way()
                seconds[name].append(time.perf_counter() - begin)
        rate = {name: BATCH * BATCHES / statistics.median(times) for name, times in seconds.items()}
        share = rate["pipeline"] / rate["bare"]
        print(f"{threads} threads: bare {rate['bare']:.0f}, pipeline {rate['pipeline']:.0f} images/s: {share:.0%}")
        figures[f"{threads} threads"] = {f"{name}_images_per_s": round(value, 1) for name, value in rate.items()} | {
            "share": round(share, 3)}
    records.append("input_pipeline", figures)


if __name__ == "__main__":
    command.run(main)
