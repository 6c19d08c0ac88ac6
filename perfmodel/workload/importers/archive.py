"""Bounded reads of a file, or of one member of a zip archive; nothing is written to disk.

Keras archives and ``.pt2`` files of torch.export are zip archives (PKWARE, APPNOTE.TXT). Names,
compression methods and unpacked sizes are checked, because a small archive may expand to any size.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from perfmodel import regular_files
from perfmodel.errors import input_error
from perfmodel.regular_files import open_regular_file

#: Largest number of files in an archive.
_MOST_MEMBERS: Final = 100_000
_MOST_BYTES: Final = 16 * 2**20


def read_file(path: Path, most: int = _MOST_BYTES) -> bytes:
    """Return the content of a file.

    Raises
    ------
    InputError
        The file cannot be read or is larger than `most` bytes.
    """
    return regular_files.read_bytes(path, most, wanted="a model without its weights")


def read_member(
    path: Path, wanted: str | Callable[[str], bool], what: str, most: int = _MOST_BYTES
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
        The file is not an archive or lacks the member, or the member is damaged, encrypted or too
        large.
    """
    file, expected = str(path), f"a zip archive with a '{what}'"
    try:
        with open_regular_file(path) as raw, zipfile.ZipFile(raw) as archive:
            names = archive.namelist()
            if len(names) > _MOST_MEMBERS:
                raise input_error(
                    f"lists more than {_MOST_MEMBERS} files", file=file, expected=expected
                )
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
            f"is not a readable archive: {reason}", file=file, expected=expected
        ) from None
    if len(content) > most:
        raise input_error(
            f"'{what}' is larger than {most >> 20} MiB",
            file=file,
            expected="a model without its weights",
        )
    return member, content
