"""Errors that a command reports to its user as one line, without a traceback."""

HEAD, TAIL = 800, 300  # characters that are kept of the begin and the end of a message that is too long


def printable(text: str) -> str:
    """Return the text with control and other unprintable characters escaped, except newlines."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


class RunError(Exception):
    """The command cannot continue. The message is one line: what happened, where, what to do.

    Unprintable characters, newlines included, are escaped, because a message may quote names and values from files of
    other people.
    """

    def __init__(self, message: str) -> None:
        line = printable(message).replace("\n", "\\n")
        short = len(line) <= HEAD + TAIL + 5
        super().__init__(line if short else f"{line[:HEAD]} ... {line[-TAIL:]}")


class InputError(RunError):
    """An input of the user cannot be used. The message is one line that names the input and what to change."""
