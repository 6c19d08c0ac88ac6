"""Bounded reads of a file or of one member of a zip archive; nothing is written to disk."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from perfmodel import regular
from perfmodel.errors import input_error
from perfmodel.regular import open_file

#: Largest number of files in an archive.
_ENTRIES: Final = 100_000
_MOST: Final = 16 * 2**20


def contents(path: Path, most: int = _MOST) -> bytes:
    """Return the content of a file.

    Raises
    ------
    InputError
        The file cannot be read or is larger than `most` bytes.
    """
    return regular.contents(path, most, wanted="a model without its weights")


def unpacked(
    path: Path, wanted: str | Callable[[str], bool], what: str, most: int = _MOST
) -> tuple[str, bytes]:
    """Return the name and content of the first member that matches.

    Parameters
    ----------
    wanted
        Name of the member, or a predicate on names.
    what
        Name of the member in messages.
    most
        Largest unpacked size in bytes.

    Raises
    ------
    InputError
        The file is no archive or lacks the member, or the member is damaged, encrypted or too
        large.
    """
    file, expected = str(path), f"a zip archive with a '{what}'"
    try:
        with open_file(path) as raw, zipfile.ZipFile(raw) as archive:
            names = archive.namelist()
            if len(names) > _ENTRIES:
                raise input_error(f"lists more than {_ENTRIES} files", file=file, expected=expected)
            is_wanted = wanted if callable(wanted) else wanted.__eq__
            member = next((name for name in names if is_wanted(name)), None)
            if member is None:
                raise input_error(f"holds no '{what}'", file=file, expected=expected)
            method = archive.getinfo(member).compress_type
            if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                # Other methods allocate as much memory as their headers ask for.
                raise input_error(
                    f"'{what}' is packed by method {method}",
                    file=file,
                    expected="stored or deflated",
                )
            with archive.open(member) as stream:
                content = stream.read(most + 1)
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise input_error(reason, file=file, expected="a readable file") from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        ValueError,
        NotImplementedError,
        RuntimeError,
        KeyError,
        OverflowError,
    ) as error:
        reason = str(error).splitlines()[0].lower() if str(error) else "damaged"
        raise input_error(
            f"is no archive that can be read: {reason}", file=file, expected=expected
        ) from None
    if len(content) > most:
        raise input_error(
            f"'{what}' is larger than {most >> 20} MiB",
            file=file,
            expected="a model without its weights",
        )
    return member, content
