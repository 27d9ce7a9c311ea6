"""Parallel processing of many files in order."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from tqdm import tqdm

CHUNK = 16  # files per task; small, so that Ctrl-C ends the scan at once

Result = TypeVar("Result")


def scan(function: Callable[[int], Result], count: int, title: str) -> Iterator[Result]:
    """Yield `function(0)`, ..., `function(count - 1)` in order, computed by several threads, with a progress bar."""

    def run_chunk(start: int) -> list[Result]:
        return [function(i) for i in range(start, min(start + CHUNK, count))]

    with (
        ThreadPoolExecutor() as pool,
        closing(pool.map(run_chunk, range(0, count, CHUNK))) as chunks,  # type: ignore[type-var]  # cancels tasks that have not started
        tqdm(total=count, desc=title, unit=" files", leave=False) as progress,
    ):
        for results in chunks:
            yield from results
            progress.update(len(results))
