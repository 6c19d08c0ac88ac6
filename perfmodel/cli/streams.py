"""Standard streams that may be closed, full, without a reader, or very narrow.

Answers go to stdout: failure to write one is an error. Remarks go to stderr: failure to write one
changes neither the answer nor the exit code.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console

#: Bounds on the columns for rich, which loops at one or two and pads lines to a million.
NARROWEST = 40
WIDEST = 1000
_LAST = 2


class _Answers(io.TextIOWrapper):
    """Standard output that names itself in its errors."""

    def write(self, text: str, /) -> int:
        """Write, or raise an error that names standard output."""
        try:
            return super().write(text)
        except OSError as error:
            raise _of_stdout(error) from None

    def flush(self) -> None:
        """Flush, or raise an error that names standard output."""
        try:
            super().flush()
        except OSError as error:
            raise _of_stdout(error) from None


def _of_stdout(error: OSError) -> OSError:
    """Return the error with the name of standard output."""
    return OSError(error.errno, error.strerror, "standard output")


class _Remarks(io.TextIOWrapper):
    """Standard error that becomes silent if it cannot be written."""

    def write(self, text: str, /) -> int:
        """Write, or become silent."""
        try:
            return super().write(text)
        except OSError:
            silence(self)
        return len(text)

    def flush(self) -> None:
        """Flush, or become silent."""
        try:
            super().flush()
        except OSError:
            silence(self)


def prepare() -> None:
    """Open missing standard streams, and make them accept any character.

    Otherwise the next file opened would reuse a closed descriptor, and printed text would end up in
    that file.
    """
    if None in cast("list[Any]", [sys.stdin, sys.stdout, sys.stderr]):
        _occupied()
    sys.stdout = _reopened(sys.stdout, 1, _Answers)
    sys.stderr = _reopened(sys.stderr, 2, _Remarks)


def _reopened(stream: Any, descriptor: int, kind: type[io.TextIOWrapper]) -> TextIO:
    """Return a standard stream that accepts any character; reopened if it was closed."""
    if stream is None:
        # Its descriptor is read-only by now: writing to it fails, as it should.
        binary = io.BufferedWriter(io.FileIO(descriptor, "w", closefd=False))
        return kind(binary, "utf-8", "backslashreplace", line_buffering=descriptor == 2)
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    known = cast("Any", stream)
    return kind(
        known.buffer,
        stream.encoding,
        "backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _occupied() -> None:
    """Open closed ones among the three standard descriptors as empty input."""
    while (null := os.open(os.devnull, os.O_RDONLY)) <= _LAST:
        os.set_inheritable(null, True)
    os.close(null)


def failure() -> OSError | None:
    """Return the error that prevented printed text from arriving; ``None`` if there is none."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return error
    return None


def silence(stream: TextIO) -> None:
    """Redirect a stream to the null device, so that nothing fails when the process ends."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def console(stderr: bool = False) -> Console:
    """Return a console with a bounded width, whatever the terminal reports."""
    from shutil import get_terminal_size

    from rich.console import Console

    class Page(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # rich itself would exit the process

    # Read here, because rich accepts any digits in COLUMNS and LINES.
    width, height = get_terminal_size()
    return Page(stderr=stderr, width=min(max(width, NARROWEST), WIDEST), height=min(height, WIDEST))
