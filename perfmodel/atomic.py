"""Files that are written whole or not at all.

What a name stands for decides how it is written. A link is followed and the file at its end is
replaced, never the link. A pipe or a character device (``/dev/stdout``) takes the bytes as a stream
once they are all there; it is never replaced either.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from perfmodel.errors import Fault, InputError, input_error, nearest

#: Bytes of a file's name that any file system takes.
_LONGEST = 255

#: Links that are followed; a longer chain is a loop.
_LINKS: Final = 40
_DESCRIPTOR: Final = re.compile(r"/(?:dev/fd|proc/(?:self|thread-self)/fd)/(\d{1,9})")
_STANDARD: Final = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}


class WriteTarget(NamedTuple):
    """What a name leads to.

    Attributes
    ----------
    path : Path
        The name itself, or where the links behind it end.
    descriptor : int
        The open file of this process that it stands for; -1 for none.
    kind : str
        ``file`` (there or not), ``stream`` (a pipe or a character device), or in words what cannot
        be written to.
    """

    path: Path
    descriptor: int = -1
    kind: str = "file"


def target_of(path: str | Path) -> WriteTarget:
    """Follow a name to what is written where it is given as an output."""
    at = os.path.abspath(path)
    for _ in range(_LINKS):
        number = _STANDARD.get(at, -1)
        if match := _DESCRIPTOR.fullmatch(at):
            number = int(match[1])
        if number >= 0:
            return WriteTarget(Path(at), number, "stream")
        if not os.path.islink(at):
            return WriteTarget(Path(at), kind=_kind(at))
        # Of a link in a folder that is itself a link: `..` is meant of the folder at its end.
        folder = os.path.realpath(os.path.dirname(at))
        at = os.path.normpath(os.path.join(folder, os.readlink(at)))
    return WriteTarget(Path(path), kind="a loop of links")


def _kind(path: str) -> str:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return "file"
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        return "stream"
    if stat.S_ISBLK(mode):
        return "a block device"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a folder" if stat.S_ISDIR(mode) else "file"


def streamed(path: str | Path) -> bool:
    """Whether an output is a pipe or a device, which takes bytes in their order and keeps none."""
    return target_of(path).kind == "stream"


def output_faults(
    path: str | Path | None, suffixes: tuple[str, ...] = (), option: str = "-o"
) -> list[Fault]:
    """Faults of a file that is to be written: found before any work is done.

    Parameters
    ----------
    path : str or Path, optional
        None is a file that is not asked for: it has no faults.
    suffixes : tuple of str
        Accepted endings; any where empty.
    option : str
        What the user wrote it after, for the messages.
    """
    if path is None:
        return []
    path = Path(path)
    if len(os.fsencode(path.name)) > _LONGEST:
        message = f"'{path.name[:20]}...' is too long a name"
        return [Fault(message, file=option, expected=f"at most {_LONGEST} bytes")]
    try:
        target = target_of(path)
    except (OSError, ValueError):  # ValueError: a null character in the name
        return [Fault(f"'{path}' cannot be looked up", file=option, expected="the name of a file")]
    if target.kind not in ("file", "stream"):
        message = f"'{path}' is {target.kind}"
        return [Fault(message, file=option, expected="the name of a file")]
    faults: list[Fault] = []
    nameless = target.kind == "stream" and not path.suffix
    if suffixes and not path.name.endswith(suffixes) and not (nameless and _one_form(suffixes)):
        meant = nearest(path.suffix, suffixes, cutoff=0.5)
        faults.append(
            Fault(
                f"'{path.name}' does not say its format",
                file=option,
                expected="a name that ends in " + " or ".join(suffixes),
                suggestion=path.with_suffix(meant).name if meant else "",
            )
        )
    if target.kind == "stream":
        if not _open_to_us(target):
            message = f"'{path}' cannot be written to"
            faults.append(Fault(message, file=option, expected="a pipe or device of your own"))
        return faults
    return faults + _folder_faults(path, target.path, option)


def _open_to_us(target: WriteTarget) -> bool:
    if target.descriptor < 0:
        return os.access(target.path, os.W_OK)
    try:
        os.fstat(target.descriptor)
    except OSError:
        return False
    return True


def _one_form(suffixes: tuple[str, ...]) -> bool:
    """Whether a pipe without a suffix can mean one form only: text, or the only one there is."""
    return ".txt" in suffixes or len(suffixes) == 1 or set(suffixes) == {".yaml", ".yml"}


def _folder_faults(path: Path, target: Path, option: str) -> list[Fault]:
    """Faults of the folder in which a file is to appear."""
    folder = target.parent if path.is_symlink() else path.parent
    if not folder.is_dir():
        message = f"there is no folder '{folder}'"
        return [Fault(message, file=option, expected="an existing folder")]
    if not os.access(folder, os.W_OK):
        message = f"the folder '{folder}' cannot be written to"
        return [Fault(message, file=option, expected="a folder of your own")]
    return []


@contextmanager
def replacing(
    path: str | Path, folder: Path | None = None, *, sync: bool = True
) -> Generator[Path]:
    """Give a temporary file, which takes the place of `path` on success and vanishes on failure.

    Parameters
    ----------
    path : str or Path
        Final name; whatever stands there stays untouched until the new file is complete. Links are
        followed; a pipe or a device is sent the complete file.
    folder : Path, optional
        Where the temporary file lies instead of beside `path`, on the same file system: a folder
        that is cleared away even if this process is killed.
    sync : bool
        Have the disk hold the bytes before the name stands for them, so that a loss of power
        leaves the old file or the new one.
    """
    path = Path(path)
    target = target_of(path)
    sent = target.kind == "stream"
    try:
        handle, name = tempfile.mkstemp(
            prefix=f".{path.name[:100]}.",
            suffix=path.suffix,
            dir=None if sent else target.path.parent if folder is None else folder,
        )
    except OSError as error:
        raise _unwritable(path, error, "a writable folder") from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if sent:
            _send(temporary, path, target)
        else:
            _put(temporary, target.path, sync)
    finally:
        temporary.unlink(missing_ok=True)


def _put(temporary: Path, path: Path, sync: bool) -> None:
    """Rename a complete file."""
    if sync:
        flush(temporary)
    # mkstemp makes files private; give the result the permissions of any new file.
    mask = os.umask(0)
    os.umask(mask)
    temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~mask)
    os.replace(temporary, path)


def flush(path: Path) -> None:
    """Have the disk hold what a file says."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _send(temporary: Path, path: Path, target: WriteTarget) -> None:
    """Write a complete file to a pipe or a device."""
    with temporary.open("rb") as source, _opened(path, target) as stream:
        shutil.copyfileobj(source, stream)


def _opened(path: Path, target: WriteTarget) -> BinaryIO:
    try:
        if target.descriptor >= 0:
            sys.stdout.flush()
            sys.stderr.flush()
            # A copy of what is open already: opened by its name it would be cut short, and what
            # this process prints besides would go over it.
            number = os.dup(target.descriptor)
        else:
            # Without a reader a pipe cannot be opened like this: no wait for one that never comes.
            number = os.open(target.path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
            os.set_blocking(number, True)
    except OSError as error:
        raise _unwritable(path, error, "a pipe that is read, or a device") from None
    return os.fdopen(number, "wb")


def _unwritable(path: Path, error: OSError, expected: str) -> InputError:
    reason = (error.strerror or "cannot be written").lower()
    if error.errno == errno.ENXIO:
        reason = "nothing reads from it"
    return input_error(f"cannot be written: {reason}", file=str(path), expected=expected)


def write_text(
    path: str | Path, text: str, folder: Path | None = None, *, sync: bool = True
) -> None:
    """Write a text file whole or not at all; `folder` and `sync` as for `replacing`."""
    with replacing(path, folder, sync=sync) as temporary:
        temporary.write_text(text, encoding="utf-8")
