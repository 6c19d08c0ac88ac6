"""Read a file, or one file of a zip archive: never more than a limit, and nothing is written."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from perfmodel import regular
from perfmodel.errors import input_error
from perfmodel.regular import open_file

#: Files that an archive may list.
_ENTRIES: Final = 100_000
_MOST: Final = 16 * 2**20


def contents(path: Path, most: int = _MOST) -> bytes:
    """Return what a file holds.

    Raises
    ------
    InputError
        It cannot be read, or holds more than `most` bytes.
    """
    return regular.contents(path, most, wanted="a model without its weights")


def unpacked(
    path: Path, wanted: str | Callable[[str], bool], what: str, most: int = _MOST
) -> tuple[str, bytes]:
    """Return the name and content of the first file that is wanted.

    Parameters
    ----------
    wanted
        Its name, or what tells it by its name.
    what
        How a message calls it.
    most
        Bytes that it may hold, unpacked.

    Raises
    ------
    InputError
        It is no archive, lacks the file, or the file is damaged, encrypted or too large.
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
                # The others allocate what their own headers ask for.
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
