"""Reading of photographs and masks, and writing of results: files, standard input and standard output."""

import errno
import sys
from pathlib import Path

from mai_jax import image_io
from mai_jax.errors import InputError
from mai_jax.files import MAX_BYTES, read_file, write_atomically
from mai_jax.inference.options import Options
from mai_jax.inference.photo_jobs import STREAM, Job


def name_of(path: Path) -> str:
    """Return the name of a file that is read, for messages."""
    return "standard input" if path == STREAM else str(path)


def read(path: Path, what: str = "a photograph") -> bytes:
    """Return the content of a file or of standard input. Raises InputError, which says to give `what`."""
    if path == STREAM and (sys.stdin is None or sys.stdin.isatty()):
        raise InputError(f"standard input: is the terminal or closed; redirect {what} to it, as in < FILE")
    try:
        if path != STREAM:
            return read_file(path)
        content = sys.stdin.buffer.read(MAX_BYTES + 1)
    except OSError as reason:
        raise InputError(f"{name_of(path)}: cannot be read ({reason.strerror}); give {what}") from reason
    if len(content) > MAX_BYTES:
        raise InputError(f"standard input: more than {MAX_BYTES >> 30} GiB; give {what}")
    return content


def write(output: Path, encoded: bytes, picture: bytes | None = None) -> None:
    """Write a result, and the picture of its attention beside it. Raises InputError; then no part of it is there."""
    if output == STREAM:
        sys.stdout.buffer.write(encoded)
        sys.stdout.buffer.flush()
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if picture:  # first, because a result that exists is not computed again
            write_atomically(output.with_name(f"{output.stem}_attention.png"), picture)
        write_atomically(output, encoded)
    except OSError as reason:
        is_too_long = reason.errno == errno.ENAMETOOLONG
        advice = "give a shorter name" if is_too_long else "give another --output or free some space"
        raise InputError(f"{reason.filename or output}: cannot be written ({reason.strerror}); {advice}") from reason


def format_of_result(job: Job, source_format: str, options: Options) -> str:
    """Return the format in which a photograph is written. Raises InputError for an ending that is not known."""
    suffix = job.output.suffix.lower()
    if options.format is not None:
        return image_io.FORMAT_OF_SUFFIX[f".{options.format}"]
    if job.output == STREAM or suffix == job.image.suffix.lower():
        return source_format
    if suffix not in image_io.FORMAT_OF_SUFFIX:
        raise InputError(f"{job.output}: unknown format; end the name in one of {' '.join(image_io.FORMAT_OF_SUFFIX)}, "
                         "or give --format")
    return image_io.FORMAT_OF_SUFFIX[suffix]


def may_have_quality(job: Job) -> bool:
    """Return whether the result may be of a format with a quality, judged by names."""
    path = job.image if job.output == STREAM else job.output
    return image_io.FORMAT_OF_SUFFIX.get(path.suffix.lower(), "JPEG") in image_io.QUALITY_FORMATS
