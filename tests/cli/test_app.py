"""Exit codes, one line per error, and the log of a command."""

import errno
import logging
import sys

import pytest

from mai_jax.cli import app
from mai_jax.errors import InputError, RunError

log = logging.getLogger("mai_jax.something")


def raising(error: BaseException):
    def main():
        raise error

    return main


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (1, 1), (130, 130)])
def test_the_exit_code_is_what_the_command_returns(result, code):
    assert app.run(lambda: result) == code


def test_a_closed_standard_output_is_one_line(tmp_path, capsys, monkeypatch):
    with open(tmp_path / "output", "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert app.run(raising(BrokenPipeError(errno.EPIPE, "Broken pipe"))) == 1
        stream.write("what Python flushes at its end")
    assert (tmp_path / "output").read_text() == ""
    assert capsys.readouterr().err == "error: standard output was closed before the end\n"


@pytest.mark.parametrize(("error", "code", "line"), [
    (InputError("--size=0: must be at least 1"), 1, "error: --size=0: must be at least 1\n"),
    (RunError("two\nlines"), 1, "error: two\\nlines\n"),
    (OSError(errno.ENOSPC, "No space left on device"), 1,
     "error: No space left on device; fix that and start the same command again\n"),
    (NotADirectoryError(errno.ENOTDIR, "Not a directory", "a/b"), 1,
     "error: a/b: Not a directory; fix that and start the same command again\n"),
    (FileNotFoundError(errno.ENOENT, "No such file or directory", "a\x1bb"), 1,
     "error: a\\x1bb: No such file or directory; fix that and start the same command again\n"),
    (KeyboardInterrupt(), 130, ""),
])  # fmt: skip
def test_an_error_of_the_user_or_the_disk_is_one_line(capsys, error, code, line):
    assert app.run(raising(error)) == code
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize("error", [ValueError("a defect"), ConnectionResetError(errno.ECONNRESET, "reset")])
def test_a_defect_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        app.run(raising(error))


def test_messages_go_to_stdout_with_their_level_above_info(capsys):
    def main():
        log.debug("hidden")
        log.info("step %d", 3)
        log.warning("few\x1b masks")
        log.error("bad file")
        logging.getLogger("a_library").error("hidden")

    assert app.run(main) == 0
    assert capsys.readouterr() == ("step 3\nwarning: few\\x1b masks\nerror: bad file\n", "")


def test_the_log_is_as_before_afterwards():
    names = ("mai_jax", None)

    def settings():
        loggers = [logging.getLogger(name) for name in names]
        return [(logger.level, logger.propagate, list(logger.handlers)) for logger in loggers]

    before = settings()
    app.run(raising(RunError("an end")))
    assert settings() == before
