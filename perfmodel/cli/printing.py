"""Output of commands: results on stdout as text or JSON, remarks on stderr, files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perfmodel.errors import InfeasibleError, printable
from perfmodel.table.json_values import json_text, with_remarks
from perfmodel.table.result import Result

if TYPE_CHECKING:
    from perfmodel.table import Table


def to_json(data: Any) -> str:
    """Return strict JSON as the text of a file."""
    return json_text(data, indent=2) + "\n"


def print_or_save(
    result: Result,
    *,
    json: bool,
    output: Path | None = None,
    text: str = "",
    data: Any = None,
    table: Table | None = None,
) -> None:
    """Write a result to its file and print it: as JSON, or as text if there is no file.

    Parameters
    ----------
    text, data, table
        Replacements for its own text, dictionary and table.
    """
    if output is not None:
        try:
            result.save(output, text=text, data=data, table=table)
        except InfeasibleError as error:
            note(f"{output} is not written: {error}")
    if json:
        print_json(result if data is None else data)
    elif output is None:
        say(text or str(result))


def print_json(data: Any) -> None:
    """Print a result as JSON on stdout, with the remarks on its settings."""
    plain_data = data.to_dict() if isinstance(data, Result) else data
    sys.stdout.write(to_json(with_remarks(plain_data)))


def say(*lines: str) -> None:
    """Print lines of a result on stdout."""
    for line in lines:
        sys.stdout.write(printable(f"{line}\n", keep="\n"))


def note(*lines: str) -> None:
    """Print remarks on stderr."""
    for line in lines:
        sys.stderr.write(printable(f"{line}\n", keep="\n"))
