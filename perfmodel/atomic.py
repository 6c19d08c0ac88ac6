"""Atomic output: files are written completely or not at all.

`replacing` yields a temporary file and renames it over the target when the content is complete. The
type of the target determines the method. A symbolic link is followed and its target is replaced,
never the link. A pipe or a character device (``/dev/stdout``) receives the complete content as a
stream and is never replaced. `output_faults` checks a target before any work is done.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from perfmodel.errors import Fault, InputError, input_error, nearest

#: Length of a file name in bytes that every file system accepts.
_LONGEST = 255

#: Maximum number of links followed; a longer chain is treated as a loop.
_LINKS: Final = 40
_DESCRIPTOR: Final = re.compile(r"/(?:dev/fd|proc/(?:self|thread-self)/fd)/(\d{1,9})")
_STANDARD: Final = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}


class WriteTarget(NamedTuple):
    """Resolved target of an output name.

    Attributes
    ----------
    path : Path
        The name itself, or the end of its chain of links.
    descriptor : int
        Open file descriptor of this process that the name refers to; -1 for none.
    kind : str
        ``file`` (existing or not), ``stream`` (a pipe or a character device), or a description of
        a target that cannot be written.
    """

    path: Path
    descriptor: int = -1
    kind: str = "file"


def target_of(path: str | Path) -> WriteTarget:
    """Return the target of an output name, with links followed."""
    at = os.path.abspath(path)
    for _ in range(_LINKS):
        number = _STANDARD.get(at, -1)
        if match := _DESCRIPTOR.fullmatch(at):
            number = int(match[1])
        if number >= 0:
            return WriteTarget(Path(at), number, "stream")
        if not os.path.islink(at):
            return WriteTarget(Path(at), kind=_kind(at))
        # In a folder that is itself a link, `..` refers to the parent of the link's target.
        folder = os.path.realpath(os.path.dirname(at))
        at = os.path.normpath(os.path.join(folder, os.readlink(at)))
    return WriteTarget(Path(path), kind="a loop of links")


def _kind(path: str) -> str:
    """Return the kind of an existing file by its mode; ``file`` if there is none."""
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
    """Return whether an output is a pipe or a device, which only accepts sequential bytes."""
    return target_of(path).kind == "stream"


def output_faults(
    path: str | Path | None, suffixes: tuple[str, ...] = (), option: str = "-o"
) -> list[Fault]:
    """Return the faults of an output file, for checks before any work is done.

    Parameters
    ----------
    path : str or Path, optional
        Output file; ``None`` has no faults.
    suffixes : tuple of str
        Accepted suffixes; empty for any.
    option : str
        Command-line option of the file, for the messages.
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
        suggestion = nearest(path.suffix, suffixes, cutoff=0.5)
        faults.append(
            Fault(
                f"'{path.name}' has no suffix that states its format",
                file=option,
                expected="a name that ends in " + " or ".join(suffixes),
                suggestion=path.with_suffix(suggestion).name if suggestion else "",
            )
        )
    if target.kind == "stream":
        if not _open_to_us(target):
            message = f"'{path}' cannot be written to"
            faults.append(
                Fault(message, file=option, expected="a pipe or device that you may write to")
            )
        return faults
    return faults + _folder_faults(path, target.path, option)


def _open_to_us(target: WriteTarget) -> bool:
    """Return whether this process may write to a stream."""
    if target.descriptor < 0:
        return os.access(target.path, os.W_OK)
    try:
        os.fstat(target.descriptor)
    except OSError:
        return False
    return True


def _one_form(suffixes: tuple[str, ...]) -> bool:
    """Return whether a pipe without a suffix has an unambiguous format: text, or the only one."""
    return ".txt" in suffixes or len(suffixes) == 1 or set(suffixes) == {".yaml", ".yml"}


def _folder_faults(path: Path, target: Path, option: str) -> list[Fault]:
    """Return the faults of the folder of an output file."""
    folder = target.parent if path.is_symlink() else path.parent
    if not folder.is_dir():
        message = f"there is no folder '{folder}'"
        return [Fault(message, file=option, expected="an existing folder")]
    if not os.access(folder, os.W_OK):
        message = f"the folder '{folder}' cannot be written to"
        return [Fault(message, file=option, expected="a folder that you may write to")]
    return []


@contextmanager
def replacing(
    path: str | Path, folder: Path | None = None, *, sync: bool = True
) -> Generator[Path]:
    """Yield a temporary file that replaces `path` on success and is deleted on failure.

    Parameters
    ----------
    path : str or Path
        Final name; an existing file remains unchanged until the new file is complete. Links are
        followed; a pipe or a device receives the complete file.
    folder : Path, optional
        Folder of the temporary file instead of that of `path`, on the same file system: one that
        is cleaned up even if this process is killed.
    sync : bool
        Whether to flush the file to disk before renaming, so that after a power loss either the
        old or the new file is intact.
    """
    from tempfile import mkstemp

    path = Path(path)
    target = target_of(path)
    sent = target.kind == "stream"
    try:
        handle, name = mkstemp(
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
    """Rename a complete temporary file to its final name."""
    if sync:
        flush(temporary)
    # mkstemp creates private files; the result has the permissions of any new file.
    mask = os.umask(0)
    os.umask(mask)
    temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~mask)
    os.replace(temporary, path)


def flush(path: Path) -> None:
    """Flush a file to disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _send(temporary: Path, path: Path, target: WriteTarget) -> None:
    """Write a complete file to a pipe or a device."""
    from shutil import copyfileobj

    with temporary.open("rb") as source, _opened(path, target) as stream:
        copyfileobj(source, stream)


def _opened(path: Path, target: WriteTarget) -> BinaryIO:
    """Open a pipe or a device for writing."""
    try:
        if target.descriptor >= 0:
            sys.stdout.flush()
            sys.stderr.flush()
            # Duplicate the open descriptor: opening by name would truncate the file, and other
            # output of this process would overwrite it.
            number = os.dup(target.descriptor)
        else:
            # Without a reader this fails immediately instead of blocking.
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
    """Write a text file completely or not at all; `folder` and `sync` as for `replacing`."""
    with replacing(path, folder, sync=sync) as temporary:
        temporary.write_text(text, encoding="utf-8")
