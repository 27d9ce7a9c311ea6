"""What all commands share: flags, a config file with overrides, plain messages, one line per user error."""

import errno
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from absl import app, flags
from absl import logging as absl_logging

from mai_jax import compilation_cache
from mai_jax.config import Config
from mai_jax.types import InputError, RunError, printable

# What is the fault of the disk, of its rights, or of a file where a folder should be.
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOTDIR, errno.EEXIST)

log = logging.getLogger("mai_jax")


def run(main: Callable[[], int | None]) -> None:
    """Parses the flags, calls `main` and exits with what it returns.

    Exit codes: 0 done, 1 the run could not go on or was given something unusable (one line says what), 130 Ctrl-C.
    """
    _speak_plainly()

    def guarded(argv: list[str]) -> int:
        absl_logging.set_verbosity(absl_logging.FATAL)  # the libraries' own chatter: what goes wrong is raised too
        if argv[1:]:
            return _fail(f"unexpected argument {argv[1]!r}; every setting is a flag: --name=value")
        compilation_cache.enable()
        try:
            return main() or 0
        except RunError as error:
            return _fail(str(error))
        except OSError as error:
            if error.errno not in DISK:
                raise
            where = f"{error.filename}: " if error.filename else ""
            return _fail(str(RunError(f"{where}{error.strerror}; mend that and start the same command again")))
        except KeyboardInterrupt:
            return 130

    app.run(guarded, flags_parser=_parse)


def config(flag: flags.FlagHolder) -> Config:
    """The config of a `DEFINE_config_file` flag, overrides applied."""
    if flag.value is None:
        raise InputError("no config; give --config=configs/quickstart.py or another file of configs/")
    if not isinstance(flag.value, Config):
        raise InputError(f"--config={_given(flag)}: no such file; there are {', '.join(map(str, _config_files()))}")
    return flag.value


def workdir(given: str | None, flag: flags.FlagHolder) -> Path:
    """The folder of the run: as given, or runs/<name of the config>, with the method if one was named.

    Raises InputError for a bucket.
    """
    if given and "://" in given:
        raise InputError(f"--workdir={given}: logs are appended to, which a bucket cannot do; mount it as in "
                         "docs/running.md, and give the folder")
    return Path(given) if given else Path("runs", "_".join(filter(None, named(flag))))


def named(flag: flags.FlagHolder) -> tuple[str, str]:
    """The name of the config's file, and what was named behind it, if anything: configs/places2.py:pic, (places2, pic).
    """
    path, _, variant = _given(flag).partition(":")
    return Path(path).stem, variant


def _given(flag: flags.FlagHolder) -> str:
    return flags.FLAGS[flag.name].config_filename


def _config_files() -> list[Path]:
    return sorted(Path("configs").glob("*.py"))


def _parse(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except (flags.Error, RunError) as error:
        sys.exit(_fail(str(error).splitlines()[0]))
    except (ValueError, TypeError, SyntaxError) as error:  # a value, or a name, that no Python is
        given = next((flag for flag in argv[1:] if flag.startswith("--config.")), "--config")
        sys.exit(_fail(str(InputError(f"{given}: {error}; text stands in quotes, as in --config.FIELD='\"a-b\"'"))))
    except (KeyError, AttributeError) as error:  # an override of a field that the config does not have
        sys.exit(_fail(f"{str(error).strip(chr(34))}; see mai_jax/config.py for the fields"))


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


class _Plain(logging.Formatter):
    """The message alone, with its level in front when it is more than information."""

    def format(self, record: logging.LogRecord) -> str:
        message = printable(super().format(record))
        return message if record.levelno <= logging.INFO else f"{record.levelname.lower()}: {message}"


def _speak_plainly() -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Plain())
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
