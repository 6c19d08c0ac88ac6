"""Filter of unwanted lines, such as a banner, that a library prints to standard output."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import tempfile
from collections.abc import Generator
from typing import IO


@contextlib.contextmanager
def filtered_stdout(unwanted: tuple[bytes, ...]) -> Generator[None]:
    """Redirect the file descriptor of standard output and forward all lines but the unwanted ones.

    A C library writes past `sys.stdout`. The redirection holds for the whole process, so that
    output of other threads during it appears slightly later, but it does appear.

    Parameters
    ----------
    unwanted
        Prefixes of the lines to drop.
    """
    try:
        saved = os.dup(1)
    except OSError:  # no standard output
        yield
        return
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    try:
        with _temporary_file() as caught:
            _flush_c()
            os.dup2(caught.fileno(), 1)
            try:
                yield
                _flush_c()
            finally:
                os.dup2(saved, 1)
            caught.seek(0)
            others = [line for line in caught.readlines() if not line.startswith(unwanted)]
            if others:
                os.write(1, b"".join(others))
    finally:
        os.close(saved)


def _temporary_file() -> IO[bytes]:
    """Return a temporary file, or the null device if there is no folder for it."""
    try:
        return tempfile.TemporaryFile()
    except OSError:  # no folder for temporary files: nothing is forwarded
        return open(os.devnull, "w+b")


def _flush_c() -> None:
    """Flush the output buffers of the C library."""
    with contextlib.suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).fflush(None)
