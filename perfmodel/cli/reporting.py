"""Reports on the command line: ``--report FILE`` of a command, with the words that were typed."""

from __future__ import annotations

import shlex
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perfmodel.atomic import output_faults
from perfmodel.errors import Fault

if TYPE_CHECKING:
    from perfmodel.table import Result

#: Words of the command line that is being run, without the program's name.
TYPED: ContextVar[tuple[str, ...]] = ContextVar("TYPED", default=())
#: What the file of the report was written after.
OPTION: ContextVar[str] = ContextVar("OPTION", default="--report")
#: A date for the report; empty for none.
DATE: ContextVar[str] = ContextVar("DATE", default="")


def report_faults(path: Path | None) -> list[Fault]:
    """Faults of the file of a report: found before any work is done."""
    return [] if path is None else output_faults(path, (".html",), OPTION.get())


def write_report(path: Path | None, result: Result, **options: Any) -> None:
    """Write the report of a result where one is asked for, with what its sort takes beside."""
    if path is None:
        return
    from perfmodel.report import ReportInvocation

    typed = TYPED.get()
    command = shlex.join(("perfmodel", *typed)) if typed else ""
    result.report(path, ReportInvocation(command=command, date=DATE.get()), **options)
