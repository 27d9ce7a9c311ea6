"""Running a command: plain log lines, one line per user error, exit codes, and the cache of compiled programs."""

import contextlib
import dataclasses
import errno
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from mai_jax.errors import RunError, printable

# Errors of the disk, of access rights, or of a file where a folder is expected; they may name no file.
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOTDIR, errno.EEXIST)
MIN_COMPILE_SECONDS = 0.05  # programs that compile faster are not cached


@dataclasses.dataclass
class Outcome:
    """The exit code of a command. 0: done. 1: an error, which one line on stderr describes. 130: Ctrl-C."""

    exit_code: int = 0


@contextlib.contextmanager
def command() -> Iterator[Outcome]:
    """Run a command in the block: plain log lines, and one line on stderr for an error of the user or the machine.

    The block may set the exit code of the yielded `Outcome`; an error sets it to 1 or 130.
    """
    outcome = Outcome()
    with _plain_logging():
        try:
            yield outcome
        except RunError as error:
            outcome.exit_code = _fail(str(error))
        except BrokenPipeError:  # stdout was closed, as by `head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would flush it at its end
            outcome.exit_code = _fail("standard output was closed before the end")
        except OSError as error:
            if error.filename is None and error.errno not in DISK:
                raise
            where = f"{error.filename}: " if error.filename else ""
            message = RunError(f"{where}{error.strerror}; fix that and start the same command again")
            outcome.exit_code = _fail(str(message))
        except KeyboardInterrupt:
            outcome.exit_code = 130


def log_to_stderr() -> None:
    """Write the messages of the running command to stderr, so that stdout holds its result only."""
    for handler in logging.getLogger("mai_jax").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(sys.stderr)


def run(main: Callable[[], int | None]) -> int:
    """Call `main` as a command and return the exit code."""
    with command() as outcome:
        outcome.exit_code = main() or 0
    return outcome.exit_code


def enable_compilation_cache() -> None:
    """Keep compiled programs in $XDG_CACHE_HOME/mai_jax, so that only the first start of a command compiles.

    A folder that JAX_COMPILATION_CACHE_DIR names is used instead, under the user's own settings. This changes JAX's
    global config: commands call it, the library does not.
    """
    import jax

    if jax.config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]
        return
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    jax.config.update("jax_compilation_cache_dir", str(Path(home, "mai_jax", "compiled").expanduser()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_COMPILE_SECONDS)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


class _PlainFormatter(logging.Formatter):
    """Formatter that writes the message alone, with its level in front if that is above INFO."""

    def format(self, record: logging.LogRecord) -> str:
        message = printable(super().format(record))
        return message if record.levelno <= logging.INFO else f"{record.levelname.lower()}: {message}"


@contextlib.contextmanager
def _plain_logging() -> Iterator[None]:
    """Write messages of this package to stdout and drop those of libraries, whose errors are raised too."""
    log, root = logging.getLogger("mai_jax"), logging.getLogger()
    before, root_level = (log.level, log.propagate), root.level
    handler, silent = logging.StreamHandler(sys.stdout), logging.NullHandler()
    handler.setFormatter(_PlainFormatter())
    log.addHandler(handler)
    root.addHandler(silent)  # without any handler Python would write warnings to stderr
    log.propagate = False
    log.setLevel(logging.INFO)
    root.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.removeHandler(handler)
        root.removeHandler(silent)
        log.setLevel(before[0])
        log.propagate = before[1]
        root.setLevel(root_level)
