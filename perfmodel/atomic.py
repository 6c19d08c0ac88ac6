"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from perfmodel.errors import Fault, InputError, nearest

__all__ = ["output_faults", "replacing", "write_text"]


#: Bytes of a file's name that any file system takes.
_LONGEST = 255


def output_faults(
    path: str | Path, suffixes: tuple[str, ...] = (), option: str = "-o"
) -> list[Fault]:
    """Faults of a file that is to be written: found before any work is done.

    Parameters
    ----------
    path : str or Path
    suffixes : tuple of str
        Accepted endings; any where empty.
    option : str
        What the user wrote it after, for the messages.
    """
    path = Path(path)
    faults: list[Fault] = []
    if len(os.fsencode(path.name)) > _LONGEST:
        message = f"'{path.name[:20]}...' is too long a name"
        return [Fault(message, file=option, expected=f"at most {_LONGEST} bytes")]
    if path.is_dir():
        return [Fault(f"'{path}' is a folder", file=option, expected="the name of a file")]
    if suffixes and not path.name.endswith(suffixes):
        meant = nearest(path.suffix, suffixes, cutoff=0.5)
        faults.append(
            Fault(
                f"'{path.name}' does not say its format",
                file=option,
                expected="a name that ends in " + " or ".join(suffixes),
                suggestion=path.with_suffix(meant).name if meant else "",
            )
        )
    folder = path.parent
    if not folder.is_dir():
        faults.append(
            Fault(f"there is no folder '{folder}'", file=option, expected="an existing folder")
        )
    elif not os.access(folder, os.W_OK):
        faults.append(
            Fault(f"the folder '{folder}' cannot be written to", file=option,
                  expected="a folder of your own")
        )  # fmt: skip
    return faults


@contextmanager
def replacing(path: str | Path, folder: Path | None = None) -> Generator[Path]:
    """Give a temporary file beside `path`, which replaces it on success and vanishes on failure.

    Parameters
    ----------
    path : str or Path
        Final name; whatever stands there stays untouched until the new file is complete.
    folder : Path, optional
        Where the temporary file lies instead, on the same file system: a folder that is cleared
        away even if this process is killed.
    """
    path = Path(path)
    try:
        handle, name = tempfile.mkstemp(
            prefix=f".{path.name[:100]}.",
            suffix=path.suffix,
            dir=path.parent if folder is None else folder,
        )
    except OSError as error:
        reason = (error.strerror or "cannot be written").lower()
        raise InputError(
            Fault(f"cannot be written: {reason}", file=str(path), expected="a writable folder")
        ) from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; give the result the permissions of any new file.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~mask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str, folder: Path | None = None) -> None:
    """Write a text file whole or not at all; `folder` as for `replacing`."""
    with replacing(path, folder) as temporary:
        temporary.write_text(text, encoding="utf-8")
