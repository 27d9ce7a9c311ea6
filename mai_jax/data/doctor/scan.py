"""Many files, one after the other for the reader and several at a time for the machine."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from tqdm import tqdm

TOGETHER = 16  # files per task: few enough that Ctrl-C ends at once

Result = TypeVar("Result")


def scan(look: Callable[[int], Result], count: int, title: str) -> Iterator[Result]:
    """`look(0)`, ..., `look(count - 1)`, in order, with a progress bar."""

    def look_at(start: int) -> list[Result]:
        return [look(i) for i in range(start, min(start + TOGETHER, count))]

    with (
        ThreadPoolExecutor() as pool,
        closing(pool.map(look_at, range(0, count, TOGETHER))) as done,  # takes back the tasks that have not begun
        tqdm(total=count, desc=title, unit=" files", leave=False) as progress,
    ):
        for results in done:
            yield from results
            progress.update(len(results))
