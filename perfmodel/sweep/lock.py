"""One writer at a time: a lock beside an output, which the system lets go with its process.

The lock is on an open file and not the file itself, so what a killed process leaves is in nobody's
way. On a network file system it holds between machines where that passes locks on (NFS from version
4 on does); where locks are not to be had at all, only writers of this machine are told apart.
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

#: The lock is taken, and what a file system without locks says.
_TAKEN: Final = (errno.EACCES, errno.EAGAIN)
_NO_LOCKS: Final = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def locked(path: Path, output: Path, option: str = "-o") -> Generator[None]:
    """Hold the lock at `path` while `output` is worked on; the file is removed at the end.

    Raises
    ------
    InputError
        Another sweep holds it, with who that is.
    """
    while True:
        number = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            has_locks = _lock(number)
            _still_free(number, output, option, has_locks)
        except BaseException:
            os.close(number)
            raise
        if _still_at(path, number):
            break
        os.close(number)  # the holder before removed the file between our two steps
    try:
        _sign(number, has_locks)
        yield
    finally:
        # Removed while it is held: whoever opened it before sees that it is no longer at its path.
        with suppress(OSError):
            path.unlink()
        os.close(number)


def _lock(number: int) -> bool | None:
    """Lock an open file: whether that was possible; None where the file system has no locks."""
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
    import importlib

    # A byte behind what is written: on Windows a locked byte cannot be read.
    os.lseek(number, 1 << 20, os.SEEK_SET)
    msvcrt: Any = importlib.import_module("msvcrt")
    try:
        msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True


def _still_free(number: int, output: Path, option: str, has_locks: bool | None) -> None:
    """Raise `InputError` where another sweep holds the file."""
    holder = _holder(number)
    if has_locks or (has_locks is None and not _runs(holder)):
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


def _runs(holder: dict[str, Any]) -> bool:
    """Whether the process that signed a file still runs, as far as this machine can tell."""
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


def _still_at(path: Path, number: int) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False
    mine = os.fstat(number)
    return (found.st_ino, found.st_dev) == (mine.st_ino, mine.st_dev)


def _sign(number: int, has_locks: bool | None) -> None:
    """Write who holds the lock, for those who find it held."""
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


def _holder(number: int) -> dict[str, Any]:
    try:
        os.lseek(number, 0, os.SEEK_SET)
        signed = json.loads(os.read(number, 4096))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", signed) if isinstance(signed, dict) else {}
