"""A queue for work that is done one after the other, in the order of arrival."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

MAX_WAITING = 64  # requests

T = TypeVar("T")


class Busy(Exception):
    """MAX_WAITING requests are waiting already."""


class Lane:
    """One thread, and what waits for it. So one decoded photograph at a time is in memory, however many users wait."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._tickets: list[list[str]] = []  # in the order of arrival; lists, since two requests may have one name

    def before(self, ticket: str) -> int | None:
        """Return how many requests are before that of `ticket`; None if it is not here."""
        return next((i for i, (other,) in enumerate(self._tickets) if other == ticket), None)

    async def run(self, ticket: str, work: Callable[[], T]) -> T:
        """Return the result of `work`. If cancelled while it waits, it is not done. Raises Busy."""
        if len(self._tickets) >= MAX_WAITING:
            raise Busy
        entry = [ticket]
        self._tickets.append(entry)
        future = self._thread.submit(work)
        future.add_done_callback(lambda _: self._tickets.remove(entry))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Drop what is waiting."""
        self._thread.shutdown(wait=False, cancel_futures=True)
