"""What `python -m` commands with sub-commands share: one line per user error, and the exit codes of all commands."""

import argparse
import logging
import sys
from collections.abc import Callable

from mai_jax.types import InputError, RunError


class Parser(argparse.ArgumentParser):
    """Arguments that cannot be used raise InputError; the description is shown as it is written."""

    def __init__(self, **settings) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **settings)

    def error(self, message: str) -> None:
        raise InputError(f"{message}; see --help")


def run(main: Callable[[], None]) -> int:
    """Calls `main`: 0 done, 1 one line on stderr says what is wrong, 130 Ctrl-C."""
    logging.basicConfig(format="%(message)s", stream=sys.stdout, force=True)  # libraries set it up on import
    logging.getLogger("mai_jax").setLevel(logging.INFO)
    try:
        main()
    except RunError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # of writing: a full disk, a folder that may not be written to
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
