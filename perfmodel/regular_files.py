"""Safe reading of files: regular files only, limited in size, opened without blocking.

Opening a pipe would block, a device could be read until memory is exhausted, and truncation of a
memory-mapped file by another process would terminate this one. All files named by the user are
opened here.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

from perfmodel.errors import InputError, input_error

#: Number of bytes read ahead.
_AHEAD: Final = 2**16


def open_regular_file(path: str | Path, expected: str = "a readable file") -> BinaryIO:
    """Open a regular file, or a link to one.

    Raises
    ------
    InputError
        The file cannot be read, or is a pipe, a socket, a device or a folder.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        # Without this flag, opening a pipe blocks until its other end is opened.
        descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        if _is_special(path):  # a socket cannot be opened at all
            raise _no_file(path, expected) from None
        reason = (getattr(error, "strerror", None) or "cannot be read").lower()
        raise input_error(reason, file=str(path), expected=expected) from None
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise input_error("is a directory", file=str(path), expected=expected)
    raise _no_file(path, expected)


def read_bytes(
    path: str | Path, most: int, expected: str = "a readable file", *, wanted: str = ""
) -> bytes:
    """Return the contents of a file.

    Parameters
    ----------
    most
        Maximum size in bytes.
    expected, wanted
        Expected input in the messages for files that cannot be read, and that are too large.

    Raises
    ------
    InputError
        The file cannot be read, is not a regular file, or is too large.
    """
    with open_regular_file(path, expected) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > most:
            raise _too_large(path, most, wanted or expected)
        try:
            # Room for `most` bytes takes longer to allocate than a small file to read.
            content = stream.read(size + 1)
            if len(content) > size:  # some files grow, and some report a size of zero
                content += stream.read(most + 1 - len(content))
        except OSError as error:
            reason = (error.strerror or "cannot be read").lower()
            raise input_error(reason, file=str(path), expected=expected) from None
    if len(content) > most:
        raise _too_large(path, most, wanted or expected)
    return content


def read_text(path: str | Path, most: int, expected: str = "a text file in UTF-8") -> str:
    """Return the text of a file without a byte order mark.

    Raises
    ------
    InputError
        The same as for `contents`, or the file is not UTF-8.
    """
    try:
        return read_bytes(path, most, expected).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise input_error("is not UTF-8 text", file=str(path), expected=expected) from None


class FileBytes:
    """Random access to the bytes of an open file, reading only the requested spans.

    Truncation during reading is an input error, whereas with memory mapping it would terminate the
    process.
    """

    __slots__ = ("_at", "_held", "_name", "_size", "_stream")

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream, self._name = stream, name
        self._size = os.fstat(stream.fileno()).st_size
        self._at, self._held = 0, b""

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, span: slice) -> bytes:
        """Return a span of bytes; a step is not supported."""
        first, last, _ = span.indices(self._size)
        if last <= first:
            return b""
        begin = first - self._at
        if begin < 0 or last - self._at > len(self._held):
            self._held, self._at, begin = self._read(first, last), first, 0
        return self._held[begin : begin + last - first]

    def _read(self, first: int, last: int) -> bytes:
        try:
            self._stream.seek(first)
            read = self._stream.read(max(last - first, _AHEAD))
        except OSError as error:
            reason = (error.strerror or "cannot be read").lower()
            raise input_error(reason, file=self._name, expected="a readable file") from None
        if len(read) < last - first:
            raise input_error(
                "became shorter while it was read",
                file=self._name,
                expected=f"a file of {self._size} bytes, as it was",
            )
        return read


def _is_special(path: str | Path) -> bool:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _no_file(path: str | Path, expected: str) -> InputError:
    return input_error("is not a regular file", file=str(path), expected=expected)


def _too_large(path: str | Path, most: int, wanted: str) -> InputError:
    return input_error(f"is larger than {most >> 20} MiB", file=str(path), expected=wanted)
