"""Option ``--report FILE`` of every command: an HTML report that quotes the command line.

`perfmodel.cli` records the words as typed; `write_report` passes them to the report of the result.
"""

from __future__ import annotations

import shlex
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perfmodel.atomic import output_faults
from perfmodel.errors import Fault

if TYPE_CHECKING:
    from perfmodel.table import Result

#: Words of the running command line, without the program's name.
TYPED: ContextVar[tuple[str, ...]] = ContextVar("TYPED", default=())
#: Whether it is the only command line that this process parses.
ONLY: ContextVar[bool] = ContextVar("ONLY", default=False)
#: Option that names the report's file, for error messages.
OPTION: ContextVar[str] = ContextVar("OPTION", default="--report")
#: A date for the report; empty for none.
DATE: ContextVar[str] = ContextVar("DATE", default="")


def report_faults(path: Path | None) -> list[Fault]:
    """Return faults of the report's file, before any computation."""
    return [] if path is None else output_faults(path, (".html",), OPTION.get())


def write_report(path: Path | None, result: Result, **options: Any) -> None:
    """Write the report of a result if requested, with the options of its kind."""
    if path is None:
        return
    from perfmodel.report import ReportInvocation

    typed = TYPED.get()
    command = shlex.join(("perfmodel", *typed)) if typed else ""
    result.report(path, ReportInvocation(command=command, date=DATE.get()), **options)
