"""Standard output without what a library prints unasked."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import tempfile
from collections.abc import Generator
from typing import IO


@contextlib.contextmanager
def caught_output(unwanted: tuple[bytes, ...]) -> Generator[None]:
    """Divert the file descriptor of standard output and hand on what was not unwanted.

    A library in C writes past `sys.stdout`. The diversion holds for the whole process, so what
    another thread writes meanwhile comes out a little later, but it comes out.

    Parameters
    ----------
    unwanted
        How the lines to drop begin.
    """
    try:
        saved = os.dup(1)
    except OSError:  # there is no standard output
        yield
        return
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    try:
        with _sink() as caught:
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


def _sink() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile()
    except OSError:  # no folder for temporary files: nothing is handed on
        return open(os.devnull, "w+b")


def _flush_c() -> None:
    with contextlib.suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).fflush(None)
