"""Messages of other modules, which the report says in its own words."""

import contextlib
import logging
from collections.abc import Iterator
from types import ModuleType


@contextlib.contextmanager
def quiet(module: ModuleType) -> Iterator[None]:
    """What the module logs below an error is not shown."""
    log = logging.getLogger(module.__name__)
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)
