"""The three streams of the command: they may be closed, full, without a reader, or of one column.

Answers go to stdout: one that cannot be written is no success. What goes to stderr is said to
whoever listens: where nobody does, neither the answer nor the exit code changes.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console

#: Columns that rich lays out; at one or two it makes lines without end, at a million it fills them.
NARROWEST = 40
WIDEST = 1000
_LAST = 2


class _Answers(io.TextIOWrapper):
    """Standard output whose faults say where they happened."""

    def write(self, text: str, /) -> int:
        """Write, or say that it is standard output that cannot be written."""
        try:
            return super().write(text)
        except OSError as error:
            raise _of_stdout(error) from None

    def flush(self) -> None:
        """Flush, or say that it is standard output that cannot be written."""
        try:
            super().flush()
        except OSError as error:
            raise _of_stdout(error) from None


def _of_stdout(error: OSError) -> OSError:
    return OSError(error.errno, error.strerror, "standard output")


class _Remarks(io.TextIOWrapper):
    """Standard error that goes silent where it cannot be written."""

    def write(self, text: str, /) -> int:
        """Write, or go silent."""
        try:
            return super().write(text)
        except OSError:
            silence(self)
        return len(text)

    def flush(self) -> None:
        """Flush, or go silent."""
        try:
            super().flush()
        except OSError:
            silence(self)


def prepare() -> None:
    """Open what the process was started without, and take any character.

    A closed descriptor would otherwise become that of the next file that is opened, and what is
    printed would end in that file.
    """
    if None in cast("list[Any]", [sys.stdin, sys.stdout, sys.stderr]):
        _occupied()
    sys.stdout = _reopened(sys.stdout, 1, _Answers)
    sys.stderr = _reopened(sys.stderr, 2, _Remarks)


def _reopened(stream: Any, descriptor: int, kind: type[io.TextIOWrapper]) -> TextIO:
    if stream is None:
        # Its descriptor can only be read by now: writing to it fails, as it should.
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
    """Give the closed ones of the three descriptors something that reads as empty."""
    while (null := os.open(os.devnull, os.O_RDONLY)) <= _LAST:
        os.set_inheritable(null, True)
    os.close(null)


def failure() -> OSError | None:
    """Why what was printed did not arrive; ``None`` where it did."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return error
    return None


def silence(stream: TextIO) -> None:
    """Let a stream go nowhere, so that nothing fails when the process ends."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def console(stderr: bool = False) -> Console:
    """Return a console whose width is that of a page, however wide the terminal says it is."""
    from rich.console import Console

    class Page(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # rich itself would end the process

    # Asked for here, since rich takes any COLUMNS and LINES of digits at its word.
    width, height = shutil.get_terminal_size()
    return Page(stderr=stderr, width=min(max(width, NARROWEST), WIDEST), height=min(height, WIDEST))
