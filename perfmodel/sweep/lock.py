"""Exclusive access of one writer: a lock file beside an output, released with its process.

The operating system locks the open file (``flock``), so that a file left by a killed process blocks
nobody. On a network file system the lock is effective between machines if that forwards locks (NFS
from version 4); without any locks, only writers on the same machine are detected.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

from perfmodel.errors import input_error

#: Error codes for a lock that is taken, and for file systems without locks.
_TAKEN: Final = (errno.EACCES, errno.EAGAIN)
_NO_LOCKS: Final = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def locked(path: Path, output: Path, option: str = "-o") -> Generator[None]:
    """Hold the lock at `path` while `output` is written; the file is removed at the end.

    Raises
    ------
    InputError
        Another sweep holds it; the message names its process.
    """
    while True:
        number = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            has_locks = _lock(number)
            _check_free(number, output, option, has_locks)
        except BaseException:
            os.close(number)
            raise
        if _is_still_at(path, number):
            break
        os.close(number)  # the previous holder removed the file between open and lock
    try:
        _write_holder(number, has_locks)
        yield
    finally:
        # Removed while locked: whoever opened it before notices that it is no longer at its path.
        with suppress(OSError):
            path.unlink()
        os.close(number)


def _lock(number: int) -> bool | None:
    """Lock an open file and return success; None if the file system has no locks."""
    try:
        import fcntl
    except ImportError:
        return _lock_on_windows(number)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        if error.errno not in _TAKEN:
            raise
        return False
    return True


def _lock_on_windows(number: int) -> bool:
    """Lock an open file and return success."""
    import importlib

    # A byte beyond the content: on Windows a locked byte cannot be read.
    os.lseek(number, 1 << 20, os.SEEK_SET)
    msvcrt: Any = importlib.import_module("msvcrt")
    try:
        msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True


def _check_free(number: int, output: Path, option: str, has_locks: bool | None) -> None:
    """Raise `InputError` if another sweep holds the file."""
    holder = _read_holder(number)
    if has_locks or (has_locks is None and not _is_running(holder)):
        return
    who = "another sweep"
    if holder:
        process, host, since = (holder.get(name, "?") for name in ("process", "host", "since"))
        who = f"process {process} on {host} since {since}"
    raise input_error(
        f"'{output}' is being written by {who}",
        file=option,
        expected="another file, or to wait until that sweep ends",
    )


def _is_running(holder: dict[str, Any]) -> bool:
    """Return whether the process named in a lock file may still be running."""
    process = holder.get("process")
    if not isinstance(process, int) or holder.get("has_locks"):
        return False
    if holder.get("host") != socket.gethostname():
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _is_still_at(path: Path, number: int) -> bool:
    """Return whether the open file is still the one at its path."""
    try:
        status = path.stat()
    except OSError:
        return False
    opened = os.fstat(number)
    return (status.st_ino, status.st_dev) == (opened.st_ino, opened.st_dev)


def _write_holder(number: int, has_locks: bool | None) -> None:
    """Write the holder of the lock into the file, for error messages of others."""
    text = json.dumps(
        {
            "process": os.getpid(),
            "host": socket.gethostname(),
            "has_locks": has_locks is not None,
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )
    os.ftruncate(number, 0)
    os.lseek(number, 0, os.SEEK_SET)
    os.write(number, text.encode())


def _read_holder(number: int) -> dict[str, Any]:
    """Return the holder that the lock file names; empty if it names none."""
    try:
        os.lseek(number, 0, os.SEEK_SET)
        signed = json.loads(os.read(number, 4096))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", signed) if isinstance(signed, dict) else {}
